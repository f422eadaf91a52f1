"""Statistical tests of two or more models' predictions on identical rows."""

from tasks.paired.areas import auc_covariance, delong
from tasks.paired.betting import log_capital, log_capital_of_scores, normal_score, split_capital
from tasks.paired.contrasts import Contrast, asked, contrast, judged_classes
from tasks.paired.discordant import (
    Clustered,
    ContingencyTable,
    clustered_mcnemar,
    difference_interval,
    mcnemar,
)
from tasks.paired.influence import f1_above_chance
from tasks.paired.influence import losses as row_losses
from tasks.paired.losses import diebold_mariano, paired_bootstrap, wilcoxon
from tasks.paired.margin import margin_z, rows_needed, rows_needed_for_mean
from tasks.paired.several import cochran_q, holm
from tasks.paired.spending import familywise, lord, over_champions, saffron
from tasks.paired.tail import mean_test, ordinary_test, sums

__all__ = [
    "Clustered",
    "ContingencyTable",
    "Contrast",
    "asked",
    "auc_covariance",
    "clustered_mcnemar",
    "cochran_q",
    "contrast",
    "delong",
    "diebold_mariano",
    "difference_interval",
    "f1_above_chance",
    "familywise",
    "holm",
    "judged_classes",
    "log_capital",
    "log_capital_of_scores",
    "lord",
    "margin_z",
    "mcnemar",
    "mean_test",
    "normal_score",
    "ordinary_test",
    "over_champions",
    "paired_bootstrap",
    "row_losses",
    "rows_needed",
    "rows_needed_for_mean",
    "saffron",
    "split_capital",
    "sums",
    "wilcoxon",
]
