# SPDX-License-Identifier: AGPL-3.0-or-later
# A guest of 512 bytes, started by the BIOS from the first sector of its disk. It leaves tracks there:
#   sector 1        how often it was started (32 bit)
#   sectors 256-511 a ring: number n, counted up about 18 times a second, fills sector 256 + n mod 256
# The number lives in a register only. So the tracks tell whether the machine's memory went on (one start, numbers without
# a gap) and whether any write was lost (a sector of the ring that is older than it should be).

        .code16
        .globl  _start
_start: cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $0x7c00, %sp
        mov     %dl, drive
        sti

        movl    $1, lba
        mov     $0x42, %ah              # read
        call    disk
        incl    buffer
        mov     $0x43, %ah              # write
        call    disk

        xorl    %ebx, %ebx
again:  hlt                             # until the next tick of the clock
        incl    %ebx
        mov     $buffer, %di
        mov     $128, %cx
        movl    %ebx, %eax
        rep stosl
        movl    %ebx, %eax
        andl    $255, %eax
        addl    $256, %eax
        movl    %eax, lba
        mov     $0x43, %ah
        call    disk
        jmp     again

disk:   mov     drive, %dl
        mov     $0, %al
        mov     $packet, %si
        pushl   %ebx
        int     $0x13
        popl    %ebx
        ret

        .equ    buffer, 0x8000
drive:  .byte   0
        .balign 4
packet: .byte   16, 0                   # disk address packet: its size,
        .word   1                       # sectors,
        .word   buffer, 0               # memory,
lba:    .long   0, 0                    # first sector
        .org    510
        .word   0xaa55
