#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# For lab/selftest: the VM breaks down.
echo c >/proc/sysrq-trigger
sleep 60
