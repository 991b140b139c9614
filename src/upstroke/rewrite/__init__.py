"""Turn a model into a cheaper or a repaired one, verified before it is handed back."""

__all__: list[str] = []
