"""Graph to findings: every rule's verdict on every upsampling site; importing it fills the table of rules."""

from upstroke.audit.baseline import since, standing
from upstroke.audit.cheaper import mergeable_resize, movable_pointwise
from upstroke.audit.check import Finding, Judged, Report, Suppressed, check
from upstroke.audit.conservation import block_means, mass_kept
from upstroke.audit.corners import size_dependent_grid
from upstroke.audit.drift import skip_drift
from upstroke.audit.edge import dark_border
from upstroke.audit.imbalance import beyond_repair, unbalanced_phases
from upstroke.audit.overlap import uneven_gradient, uneven_overlap
from upstroke.audit.pages import page_of
from upstroke.audit.replicas import weak_rejection
from upstroke.audit.rule import RULES, SEVERITIES, Rule, Severity, Verdict, chosen
from upstroke.audit.separable import nearly_separable
from upstroke.audit.shift import shift_of, shifted_output
from upstroke.audit.sizes import sizes_that_break
from upstroke.audit.slow_path import slow_path
from upstroke.audit.suppress import Suppression

__all__ = [
    "RULES",
    "SEVERITIES",
    "Finding",
    "Judged",
    "Report",
    "Rule",
    "Severity",
    "Suppressed",
    "Suppression",
    "Verdict",
    "beyond_repair",
    "block_means",
    "check",
    "chosen",
    "dark_border",
    "mass_kept",
    "mergeable_resize",
    "movable_pointwise",
    "nearly_separable",
    "page_of",
    "shift_of",
    "shifted_output",
    "since",
    "size_dependent_grid",
    "sizes_that_break",
    "skip_drift",
    "slow_path",
    "standing",
    "unbalanced_phases",
    "uneven_gradient",
    "uneven_overlap",
    "weak_rejection",
]
