"""Reads gcov's JSON, one document per line, on stdin: the share of branches taken in the .c files of one folder.

    coverage.py FOLDER PERCENT
"""
import json
import linecache
import os
import sys


def main(folder, least):
    missing, taken, total = [], 0, 0
    for line in sys.stdin:
        document = json.loads(line)
        for file in document["files"]:
            path = os.path.relpath(os.path.join(document["current_working_directory"], file["file"]))
            if not path.startswith(folder + "/") or not path.endswith(".c"):
                continue
            branches = [(entry["line_number"], place, branch["count"]) for entry in file["lines"]
                        for place, branch in enumerate(entry["branches"])]
            good = sum(count > 0 for _, _, count in branches)
            taken, total = taken + good, total + len(branches)
            print(f"{path}: {good} of {len(branches)} branches")
            missing += [(path, number) for number, _, count in branches if count == 0]
    for path, number in sorted(set(missing)):
        print(f"not taken: {path}:{number}: {linecache.getline(path, number).strip()}")
    if total == 0:
        sys.exit("coverage: there is nothing to read")
    share = 100 * taken / total
    print(f"{folder}: {share:.1f} % of {total} branches taken, {least} % wanted")
    return 0 if share >= least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
