"""Changes that survive because they change nothing that can be seen; each with its reason. The score leaves them out.

A change that is seen only in speed or memory belongs here; one that no test notices yet does not. ``key`` is the file, the
function and the change in words, as the run prints them.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "tasks/engine/store.py",
        "Store.before",
        "Lt becomes LtE in one < other",
    ): "they are not equal there",
    (
        "tasks/engine/from_disk.py",
        "_read",
        "False becomes True",
    ): "whether a file is read by threads",
    (
        "tasks/engine/from_disk.py",
        "key_hash",
        "False becomes True",
    ): "whether equal values are hashed once: the same hashes",
    (
        "tasks/engine/primitives/categories.py",
        "count_log_count",
        "2 becomes 3",
    ): "how far ahead a table is made",
    (
        "tasks/engine/from_disk.py",
        "_chunks",
        "GtE becomes Gt in count >= chunk",
    ): "a last frame of just as many rows comes after the loop",
    (
        "tasks/engine/kernels.py",
        "largest",
        "0 becomes 1",
    ): "of a table that no slice is long enough for nothing is read",
    (
        "tasks/evaluate/chance.py",
        "_upper",
        "Gt becomes GtE in total > most + near",
    ): "a sum that lies a billionth beyond its bound, to the last bit",
    (
        "tasks/metrics/recalibration.py",
        "_fitted",
        "1e-12 becomes 1.000000000001",
    ): "a step that is too long is halved less often; the optimum is the same",
    (
        "tasks/evaluate/learning.py",
        "on_training_rows",
        "Gt becomes GtE in len(X) > SAMPLE",
    ): "a sample of as many rows as there are is all of them, in another order",
    (
        "tasks/engine/compute.py",
        "compute",
        "left out: shared[group.table, recipe.column] = partial(table.values, recipe.column)",
    ): "a column that several groups read is converted once for all of them: time only",
    (
        "tasks/engine/local.py",
        "Index.__init__",
        "1 becomes 2",
    ): "room for one more key, which nobody has",
    (
        "flows/commands.py",
        "start",
        "1 becomes 2",
    ): "the size of a buffer that is read by lines",
    (
        "tasks/evaluate/diagnosis.py",
        "_overfitting",
        "Gt becomes GtE in large > 0",
    ): "where both errors are 0 nothing is lost, and the growth of the error is not asked for",
    (
        "tasks/engine/views.py",
        "Slice.equals",
        "1 becomes 2",
    ): "a bound of how large terms are: room for one more digit, and the same sums",
    (
        "tasks/metrics/recalibration.py",
        "recalibration",
        "Lt becomes LtE in 0 < y.sum() < len(y)",
    ): "of one class only no finite number fits, which the fit finds out too, after a hundred steps",
    (
        "tasks/engine/leak_scans.py",
        "encoded_targets",
        "Eq becomes NotEq in y == v",
    ): "a class against the others scatters as the others against it",
    (
        "deploy/check.py",
        "refuse_early",
        "LtE becomes Lt in (manifest.answers_from or EARLY) <= '1910'",
    ): "a moment is written in full, and is never the four digits alone",
    (
        "tasks/evaluate/chance.py",
        "_saddle",
        "2 becomes 3",
    ): "how far one step may go, and where an interval is cut: more or fewer steps to the same root",
    (
        "tasks/engine/local.py",
        "IndexedColumn.by_value",
        "1 becomes 2",
    ): "how many ranks there may be: room for one more, which no value has",
    (
        "tasks/engine/local.py",
        "IndexedColumn.by_age",
        "1 becomes 2",
    ): "how many ranks there may be: room for one more, which no value has",
    (
        "tasks/engine/foresight.py",
        "ColumnPair._counted",
        "20 becomes 21",
    ): "matches over periods come after those over whole lives, of which there are ten",
    (
        "flows/packages.py",
        "prune",
        "Gt becomes GtE in time.time() - folder.stat().st_mtime > 86400",
    ): "no folder is a day old to the very microsecond in which it is asked",
    (
        "flows/dag.py",
        "Dag.give_up",
        "left out: node.record = self._bound(node, node.record.reload())",
    ): "nothing of this walk runs the stage again, and who asks about it reads it anew",
    (
        "tasks/engine/compute.py",
        "",
        "1 becomes 2",
    ): "rows at a time: the same bits, a little quicker or slower",
    (
        "tasks/engine/compute.py",
        "",
        "15 becomes 16",
    ): "rows at a time: the same bits, a little quicker or slower",
    (
        "tasks/engine/compute.py",
        "",
        "20000 becomes 20001",
    ): "rows from which on threads share the work: the same bits",
    (
        "tasks/engine/kernels.py",
        "",
        "8 becomes 9",
    ): "of how many rows each is searched by itself: two ways to the same place",
    (
        "tasks/engine/foresight.py",
        "",
        "300000 becomes 300001",
    ): "rows of samples that are read from disk together",
    (
        "deploy/turns.py",
        "",
        "0.0005 becomes 1.0005",
    ): "how long who waits for a turn may rest: seen in time alone, which no test measures",
    (
        "deploy/turns.py",
        "",
        "0.0001 becomes 1.0001",
    ): "how long who waits for a turn may rest: seen in time alone, which no test measures",
    (
        "deploy/turns.py",
        "",
        "0.005 becomes 1.005",
    ): "how long who waits for a turn may rest: seen in time alone, which no test measures",
    (
        "tasks/evaluate/explain.py",
        "explain",
        "sum becomes mean in found.values[shown, j].sum",
    ): "of one output alone, whose sum is its mean",
    (
        "tasks/engine/compute.py",
        "compute",
        "4 becomes 5",
    ): "how many threads share the work at most: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "min becomes max",
    ): "how many threads share the work: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "Or becomes And in os.cpu_count() or 1",
    ): "how many threads share the work: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "1 becomes 2",
    ): "how many threads share the work: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "GtE becomes Gt in len(rows) >= THREADS_FROM",
    ): "how many threads share the work: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "Gt becomes GtE in workers > 1",
    ): "how many threads share the work: the same bits",
    (
        "tasks/engine/compute.py",
        "compute",
        "left out: shared[group.table, mine, theirs] = partial(encoder.column, table, mine, theirs)",
    ): "what several groups share is made once for all of them: time only",
    (
        "tasks/engine/compute.py",
        "compute",
        "left out: shared[group.table, group.known] = table.order",
    ): "what several groups share is made once for all of them: time only",
    (
        "tasks/engine/compute.py",
        "compute",
        "left out: shared[plan.table, column, column] = partial(encoder.column, facts[plan.table], column, column)",
    ): "what several groups share is made once for all of them: time only",
    (
        "tasks/engine/compute.py",
        "compute.<locals>.work",
        "left out: index.release()",
    ): "memory only: it goes a little later",
    (
        "tasks/engine/history.py",
        "Prefix.__init__",
        "0 becomes 1",
    ): "what is there before the first sum is made is asked by nobody",
    (
        "tasks/engine/history.py",
        "Prefix.__init__",
        "1 becomes 2",
    ): "what is there before the first sum is made is asked by nobody",
    (
        "tasks/engine/history.py",
        "Prefix.__init__",
        "left out: self._block = self.exact.digits",
    ): "what is there before the first sum is made is asked by nobody",
    (
        "tasks/engine/history.py",
        "Prefix.extend",
        "Gt becomes GtE in self.size > 0",
    ): "the sum of nothing is grown, or made anew: the same",
    (
        "tasks/engine/store.py",
        "GroupHistories.__init__",
        "the filter r.column is None is left out",
    ): "an aggregate that is counted besides is filled in with its own value afterwards",
    (
        "tasks/engine/compute.py",
        "rows_that_see_themselves",
        "1 becomes 2",
    ): "the largest key of nothing: where there are no events, or no rows, none is looked up",
    (
        "tasks/engine/compute.py",
        "rows_that_see_themselves",
        "2 becomes 3",
    ): "one more place that is nobody's; what has no key still looks at the last one",
    (
        "deploy/launch.py",
        "stop",
        "5 becomes 6",
    ): "how long a service has to end by itself: seen in time alone, which no test measures",
    (
        "tasks/evaluate/diagnosis.py",
        "_overfitting",
        "Lt becomes LtE in sign < 0",
    ): "a metric's sign is 1 or -1",
    (
        "tasks/engine/local.py",
        "Index.__init__",
        "GtE becomes Gt in np.diff(self.known) >= 0",
    ): "whether the quicker way may be taken; the other gives the same",
    (
        "tasks/engine/exact.py",
        "Exact.from_floats",
        "Lt becomes LtE in top < 2.0 ** 53",
    ): "whether the quicker way is taken: both give the same numbers",
    (
        "tasks/engine/exact.py",
        "Exact.from_floats",
        "Pow becomes Mult in 2.0 ** 53",
    ): "whether the quicker way is taken: both give the same numbers",
    (
        "tasks/engine/exact.py",
        "Exact.from_floats",
        "BitAnd becomes BitOr in mantissa[used] & -mantissa[used]",
    ): "the lowest bit with its sign turned, which its exponent does not show",
    (
        "tasks/engine/exact.py",
        "Exact.from_floats",
        "Lt becomes LtE in shift < 0",
    ): "by nothing nothing is moved",
    (
        "tasks/engine/kernels.py",
        "stabbing_max",
        "Gt becomes GtE in length > 0",
    ): "a slice of nothing has no level, and is handed down to nobody",
    (
        "tasks/engine/local.py",
        "Index.release",
        "left out: one.release()",
    ): "memory only: it goes a little later",
    (
        "tasks/engine/from_disk.py",
        "key_hash",
        "11400714819323198485 becomes 11400714819323198486",
    ): "how parts of a key are mixed: equal keys stay together, whichever part they are dealt to",
    (
        "tasks/engine/draws.py",
        "Both._fewer",
        "1 becomes 2",
    ): "room for one more key, which nobody has, and another negative number for none",
}
