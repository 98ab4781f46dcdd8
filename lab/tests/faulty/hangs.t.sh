#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# For lab/selftest: takes too long.
# timeout: 3
sleep 1000
