"""Turn a model into a cheaper or a repaired one, verified before it is handed back."""

from upstroke.rewrite.fix import fix
from upstroke.rewrite.fixed import Fixed

__all__ = ["Fixed", "fix"]
