"""What is not done twice: a commit that is here is read without asking, and what was rendered is not rendered again.

The programs are examples of the crates `source` and `render`. That nothing is asked, written or read is what their
tests hold; here it is timed.
"""

import plane as planes
import report

PROGRAMS = ("subtree", "again")
FILES, SUBTREE_MS, ENVIRONMENTS = 100, 5, 1000


def rows(subtree, again):
    took = float(planes.run([subtree], None).stdout)
    first, second = map(float, planes.run([again, planes.FIXTURE, "e40"], None).stdout.split())
    return [
        report.row(f"subtree-{FILES}", "ms", round(took, 2), None, None, SUBTREE_MS, "from the copy that is kept"),
        report.timed(f"again-{ENVIRONMENTS}", (second, first), "first", first / second, None, None,
                     "no template runs the second time"),
    ]
