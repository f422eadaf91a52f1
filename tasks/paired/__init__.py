"""Statistical tests of two or more models' predictions on identical rows."""

from tasks.paired.betting import anytime_p, log_capital, log_capital_of_sums, split_capital
from tasks.paired.delong import DeLong, auc_covariance, delong
from tasks.paired.losses import Bootstrap, Test, diebold_mariano, paired_bootstrap, wilcoxon
from tasks.paired.margin import margin_z, rows_needed, rows_needed_for_mean
from tasks.paired.mcnemar import Clustered, McNemar, Table, clustered_mcnemar, difference_interval, mcnemar
from tasks.paired.several import CochranQ, benjamini_hochberg, cochran_q, holm
from tasks.paired.spending import familywise, lord, over_champions, saffron

__all__ = [
    "Bootstrap",
    "Clustered",
    "CochranQ",
    "DeLong",
    "McNemar",
    "Table",
    "Test",
    "anytime_p",
    "auc_covariance",
    "benjamini_hochberg",
    "clustered_mcnemar",
    "cochran_q",
    "delong",
    "diebold_mariano",
    "difference_interval",
    "familywise",
    "holm",
    "log_capital",
    "log_capital_of_sums",
    "lord",
    "margin_z",
    "mcnemar",
    "over_champions",
    "paired_bootstrap",
    "rows_needed",
    "rows_needed_for_mean",
    "saffron",
    "split_capital",
    "wilcoxon",
]
