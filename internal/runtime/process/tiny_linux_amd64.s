#include "textflag.h"

// func tinyText() unsafe.Pointer
TEXT ·tinyText(SB),NOSPLIT,$0-8
	LEAQ	·tiny(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// tiny is the tiny launcher, from its first instruction on. It is copied into a
// program of its own and never called here, so it must not refer to anything
// outside. See tiny_linux.go, and launcher in launcher_linux.go, of which this is
// a translation.
//
// At the start the stack holds the number of arguments, the arguments (its own
// name, the limit of open files, which is set from outside, the path of the
// program, the command), a null, and the environment.
TEXT ·tiny(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0(SP), BX
	MOVQ	24(SP), R12	// path
	LEAQ	32(SP), R13	// command
	LEAQ	16(SP)(BX*8), R14	// environment
	SUBQ	$128, SP	// room

wait:
	MOVL	$0, AX	// read(controlFD, room, 1)
	MOVL	$3, DI
	MOVQ	SP, SI
	MOVL	$1, DX
	SYSCALL
	CMPQ	AX, $-4	// EINTR
	JEQ	wait
	CMPQ	AX, $1
	JNE	over
	CMPB	0(SP), $'g'
	JNE	over

	MOVL	$436, AX	// close_range(controlFD, all, CLOSE_RANGE_CLOEXEC)
	MOVL	$3, DI
	MOVL	$-1, SI
	MOVL	$4, DX
	SYSCALL
	TESTQ	AX, AX
	JNE	failed

	XORL	AX, AX	// struct sigaction of SIG_DFL, and later an empty mask
	MOVQ	AX, 0(SP)
	MOVQ	AX, 8(SP)
	MOVQ	AX, 16(SP)
	MOVQ	AX, 24(SP)
	MOVQ	AX, 32(SP)
	MOVQ	AX, 40(SP)
	MOVQ	AX, 48(SP)
	MOVQ	AX, 56(SP)
	MOVL	$1, BX
signal:
	CMPL	BX, $9	// SIGKILL
	JEQ	next
	CMPL	BX, $19	// SIGSTOP
	JEQ	next
	MOVL	$13, AX	// rt_sigaction(BX, room, null, 8)
	MOVL	BX, DI
	MOVQ	SP, SI
	MOVL	$0, DX
	MOVL	$8, R10
	SYSCALL
	TESTQ	AX, AX
	JNE	failed
next:
	ADDL	$1, BX
	CMPL	BX, $64
	JLE	signal

	MOVL	$14, AX	// rt_sigprocmask(SIG_SETMASK, room, null, 8)
	MOVL	$2, DI
	MOVQ	SP, SI
	MOVL	$0, DX
	MOVL	$8, R10
	SYSCALL
	TESTQ	AX, AX
	JNE	failed

	MOVL	$59, AX	// execve(path, command, environment)
	MOVQ	R12, DI
	MOVQ	R13, SI
	MOVQ	R14, DX
	SYSCALL

failed:
	NEGQ	AX
	MOVB	$'e', 0(SP)	// answerExec
	MOVB	AX, 1(SP)
	SHRL	$8, AX
	MOVB	AX, 2(SP)
	MOVL	$1, AX	// write(controlFD, room, answerSize)
	MOVL	$3, DI
	MOVQ	SP, SI
	MOVL	$3, DX
	SYSCALL
	MOVL	$126, DI	// exitExecFailed
	JMP	exit
over:
	MOVL	$125, DI	// exitNotReleased
exit:
	MOVL	$231, AX	// exit_group
	SYSCALL
	JMP	exit
