# SPDX-License-Identifier: AGPL-3.0-or-later
# The first process of a test container: waits for SIGPWR, with which LXC asks for a shutdown, and ends.

        .globl  _start
_start: mov     $14, %eax               # rt_sigprocmask: blocked, it is kept for us
        xor     %edi, %edi
        lea     set(%rip), %rsi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        mov     $128, %eax              # rt_sigtimedwait
        lea     set(%rip), %rdi
        xor     %esi, %esi
        xor     %edx, %edx
        mov     $8, %r10d
        syscall
        mov     $60, %eax               # exit
        xor     %edi, %edi
        syscall
set:    .quad   1 << 29                 # SIGPWR is 30
