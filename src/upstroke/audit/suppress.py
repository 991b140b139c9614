"""Turn a site, a rule and a reason into what keeps a finding that is meant from being reported."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from upstroke.audit.rule import RULES
from upstroke.errors import OptionError

__all__ = ["Suppression"]


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Findings that are known, and why they may stand.

    Attributes:
        site: name of what the finding is at, or a pattern of names with `*`, `?` and `[...]`.
        code: of the rule, or what the codes of several rules begin with.
        reason: why the finding may stand; it is reported with the finding.
        model: what the model is called, or a pattern of such names; by default any.

    Raises:
        OptionError: there is no reason, no site, or no such rule.

    >>> meant = Suppression(site="decoder.up*", code="UP101", reason="its weights are balanced")
    >>> meant.covers(code="UP101", site="decoder.up2", model="net.onnx")
    True
    >>> meant.covers(code="UP102", site="decoder.up2", model="net.onnx")
    False
    """

    site: str
    code: str
    reason: str
    model: str = "*"

    def __post_init__(self) -> None:
        for name, wanted in (
            ("site", "the name of a site, or a pattern such as decoder.*"),
            ("code", "the code of a rule, such as UP101"),
            ("reason", "why the finding may stand"),
            ("model", "the name of a model, or a pattern such as *.onnx"),
        ):
            if not getattr(self, name).strip():
                msg = f"a suppression must have a {name}; got an empty one; give {wanted}"
                raise OptionError(msg)
        if not any(code.startswith(self.code.upper()) for code in RULES):
            msg = f"rules are {', '.join(sorted(RULES))}, or what these begin with; got {self.code!r}"
            raise OptionError(msg)

    def covers(self, *, code: str, site: str, model: str) -> bool:
        """Whether a finding of this rule, at this site of this model, is meant."""
        return (
            code.startswith(self.code.upper())
            and (site == self.site or fnmatchcase(site, self.site))
            and self.concerns(model)
        )

    def concerns(self, model: str) -> bool:
        """Whether it speaks of this model."""
        return model == self.model or fnmatchcase(model, self.model)
