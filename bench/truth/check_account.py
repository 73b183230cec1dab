# SPDX-License-Identifier: MIT
# Does the account of all bytes of each device leave little over?
#   python3 check_account.py [-v] [--json FILE] [--name NAME] DB
# At every moment of view account: the owners and the remainder add up to driver_used exactly, and |remainder| is at most 1 % of
# driver_used or 32 MiB, whichever is more. An owner that cannot be seen (NULL) counts as nothing, and is named.
# Exit status 1: a bound is broken. 2: there is no account.
import argparse, collections, json, os, sys
from recording import connect, has

MIB = 1 << 20
HEAD = f"{'program':<17}  process  rank  device  moments  largest |remainder| MiB  of driver_used MiB     %  verdict"


def check(name, process, rank, device, moments, verbose):
    bad, worst = [], (-1, None)
    for ts, owners in sorted(moments.items()):
        used, rest = owners.get("driver_used"), owners.get("remainder")
        if used is None or rest is None:
            bad.append(f"at {ts}: no {'driver_used' if used is None else 'remainder'}")
            continue
        named = sum(b or 0 for o, b in owners.items() if o not in ("driver_used", "remainder"))
        if named + rest != used:
            bad.append(f"at {ts}: owners {named} + remainder {rest} are not driver_used {used}")
        negative = [o for o, b in owners.items() if b is not None and b < 0 and o != "remainder"]
        if negative:
            bad.append(f"at {ts}: less than nothing: {', '.join(negative)}")
        if abs(rest) > max(used * 0.01, 32 * MIB):
            bad.append(f"at {ts}: remainder {rest / MIB:.1f} MiB of {used / MIB:.1f}")
        worst = max(worst, (abs(rest), ts))
    result = {"program": name, "process": process, "rank": rank, "device": device, "moments": len(moments),
              "remainder_bytes": worst[0], "problems": len(bad)}
    used = (moments[worst[1]].get("driver_used") or 0) if worst[1] is not None else 0
    print(f"{name:<17}  {process:>7}  {'-' if rank is None else rank:>4}  {device:>6}  {len(moments):>7}  "
          f"{worst[0] / MIB:>23.2f}  {used / MIB:>18.1f}  {100 * worst[0] / max(used, 1):>4.1f}  {'FAIL' if bad else 'ok'}")
    for text in bad[:10]:
        print("    FAIL", text)
    if len(bad) > 10:
        print(f"    and {len(bad) - 10} more")
    if (verbose or bad) and worst[1] is not None:
        owners = sorted(moments[worst[1]].items(), key=lambda x: -(x[1] or 0))
        print(f"    at {worst[1]}: " + ", ".join(f"{o} {'not visible' if b is None else f'{b / MIB:.1f}'}" for o, b in owners))
    return result


def main():
    p = argparse.ArgumentParser()
    p.add_argument("db")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--json")
    p.add_argument("--name")
    a = p.parse_args()
    db, name = connect(a.db), a.name or os.path.splitext(os.path.basename(a.db))[0]
    if not has(db, "account"):
        print("there is no view account in", a.db)
        sys.exit(2)
    groups = collections.defaultdict(lambda: collections.defaultdict(dict))
    ranks = dict(db.execute("SELECT id, rank FROM process"))
    for process, device, ts, owner, size in db.execute("SELECT process_id, device, ts_ns, owner, bytes FROM account"):
        groups[process, device][ts][owner] = size
    print(HEAD)
    if not groups:
        print(f"{name}: the account is empty")
        sys.exit(2)
    results = [check(name, p_, ranks.get(p_), d, moments, a.verbose) for (p_, d), moments in sorted(groups.items())]
    if has(db, "account_check"):
        for row in db.execute("SELECT process_id, device, what, ours_bytes, theirs_bytes FROM account_check"):
            print("    two sources differ: process {} device {} {}: {} and {}".format(*row))
    if a.json:
        json.dump(results, open(a.json, "w"), indent=1)
    sys.exit(int(any(r["problems"] for r in results)))


if __name__ == "__main__":
    main()
