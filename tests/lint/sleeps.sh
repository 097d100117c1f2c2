#!/usr/bin/env bash
# A test waits for a condition (tests/integration/waiting.py), never for a fixed time.
! grep -rnIE '(time\.sleep|[^_]\b(u|nano)?sleep) *\(?[0-9]' tests
