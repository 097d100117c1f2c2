"""Counts what ctest ran, case by case, and prints "N passed, N failed, N skipped". Exit code 1 when anything failed.

A ctest test is a program with many cases: pytest writes them as JUnit XML, named after the test; cmocka prints one line
for each. A test that failed counts at least one failure whatever its cases say (it may have crashed after the last of
them), and a test of which no case is known counts as one.
"""
import argparse
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter

CMOCKA_LINE = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] (?!\d+ test)(\S+)", re.MULTILINE)
CMOCKA_WORDS = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def pytest_cases(path):
    try:
        cases = ElementTree.parse(path).getroot().iter("testcase")
        # A case that failed and then failed again in its teardown is two elements with one name.
        by_name = {}
        for case in cases:
            name = case.get("classname"), case.get("name")
            by_name[name] = max(by_name.get(name, ""), outcome(case), key=["", "passed", "skipped", "failed"].index)
        return Counter(by_name.values())
    except (OSError, ElementTree.ParseError):
        return Counter()


def cmocka_cases(printed):
    # Those that failed or were skipped are listed once more at the end.
    cases = set(CMOCKA_LINE.findall(printed))
    return Counter(CMOCKA_WORDS[word] for word, _ in cases)


def cases_of(test, results):
    """The cases of one ctest test."""
    cases = pytest_cases(os.path.join(results, test.get("name") + ".xml"))
    return cases or cmocka_cases(test.findtext("system-out") or "")


def whole(test, filtered):
    """What a test counts as of which no case is known."""
    status = test.get("status")  # run, fail, notrun or disabled
    skipped = test.find("skipped")
    why = skipped.get("message", "") if skipped is not None else ""
    if why == "SKIP_RETURN_CODE=5":  # pytest selected nothing: as it should be with -k, and a mistake without
        return "not selected" if filtered else "failed"
    if status == "disabled" or why.startswith("SKIP_"):
        return "skipped"
    return "passed" if status == "run" else "failed"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--filtered", action="store_true", help="a test without any selected case is none")
    arguments.add_argument("--ctest-status", type=int, required=True)
    arguments.add_argument("junit")
    arguments.add_argument("results")
    arguments = arguments.parse_args()

    total = Counter()
    try:
        tests = list(ElementTree.parse(arguments.junit).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        print(f"no results from ctest: {error}")
        tests = []
    for test in tests:
        cases = cases_of(test, arguments.results)
        if not cases:
            cases[whole(test, arguments.filtered)] = 1
        elif test.get("status") == "fail" and not cases["failed"]:
            cases["failed"] = 1
        total += cases
    if not any(total[word] for word in ("passed", "failed", "skipped")):
        print("nothing was selected")
        total["failed"] = 1
    if arguments.ctest_status != 0 and not total["failed"]:
        print(f"ctest ended with {arguments.ctest_status}")
        total["failed"] = 1
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    sys.exit(1 if total["failed"] else 0)


main()
