"""The table of figures: what was measured beside what is wanted."""

import statistics


class Row:
    """One figure. `of` picks the numbers from a measurement; `wanted` is an upper bound in milliseconds."""

    def __init__(self, text, measure, of, wanted):
        self.text, self.measure, self.of, self.wanted = text, measure, of, wanted


ROWS = [
    Row("primary killed, until +switch-master at the first node", "killed", "first", 1100),
    Row("primary hung, until +switch-master at the first node", "hung", "first", 1150),
    Row("planned under a writer, until +switch-master", "planned", "first", 50),
    Row("50 groups at once, until the last switch", "many", "last", 1500),
    Row("spread of +switch-master over the nodes", "killed", "spread", 20),
    Row("leader killed, until the next write commits", "leader_killed", "write", 1500),
    Row("leader and primary killed, until +switch-master", "leader_and_primary", "first", 2000),
]


def shown(numbers):
    if not numbers:
        return "-"
    middle, low, high = statistics.median(numbers), min(numbers), max(numbers)
    return f"{middle:.0f} ({low:.0f}-{high:.0f})"


def lines(results):
    """The table as text, and whether every figure of cfgserver that was measured is reached."""
    out, reached = [], True
    out.append(f"{'median (lowest-highest), milliseconds':<56} {'redis-sentinel':>20} {'cfgserver':>20} {'wanted':>9}")
    for row in ROWS:
        theirs = results.get("redis-sentinel", {}).get(row.measure, {}).get(row.of)
        ours = results.get("cfgserver", {}).get(row.measure, {}).get(row.of)
        verdict = ""
        if ours:
            good = statistics.median(ours) <= row.wanted
            verdict = "reached" if good else "MISSED"
            reached &= good
        out.append(f"{row.text:<56} {shown(theirs):>20} {shown(ours):>20} {'<= ' + str(row.wanted):>9} {verdict}".rstrip())
    out.append("")
    for plane, measures in results.items():
        planned = measures.get("planned")
        if planned:
            out.append(f"{plane}: planned under a writer, {sum(planned['lost'])} of {sum(planned['acknowledged'])} "
                       f"acknowledged writes lost; longest pause of the writer {shown(planned['pause'])} ms")
            reached &= plane != "cfgserver" or sum(planned["lost"]) == 0
        early = sum(measure.get("early", 0) for measure in measures.values())
        if measures:
            out.append(f"{plane}: {early} switches announced while the new primary still said that it was a replica")
            reached &= plane != "cfgserver" or early == 0
    return out, reached
