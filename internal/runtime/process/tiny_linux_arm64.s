#include "textflag.h"

// func tinyText() unsafe.Pointer
TEXT ·tinyText(SB),NOSPLIT,$0-8
	MOVD	$·tiny(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// tiny is the tiny launcher: see tiny_linux_amd64.s, of which this is the same.
TEXT ·tiny(SB),NOSPLIT|NOFRAME,$0
	MOVD	0(RSP), R19
	MOVD	24(RSP), R20	// path
	ADD	$32, RSP, R21	// command
	ADD	$16, RSP, R22
	ADD	R19<<3, R22, R22	// environment
	SUB	$128, RSP	// room

wait:
	MOVD	$63, R8	// read(controlFD, room, 1)
	MOVD	$3, R0
	MOVD	RSP, R1
	MOVD	$1, R2
	SVC
	CMN	$4, R0	// EINTR
	BEQ	wait
	CMP	$1, R0
	BNE	over
	MOVBU	0(RSP), R3
	CMP	$'g', R3
	BNE	over

	MOVD	$436, R8	// close_range(controlFD, all, CLOSE_RANGE_CLOEXEC)
	MOVD	$3, R0
	MOVD	$0xffffffff, R1
	MOVD	$4, R2
	SVC
	CBNZ	R0, failed

	MOVD	ZR, 0(RSP)	// struct sigaction of SIG_DFL, and later an empty mask
	MOVD	ZR, 8(RSP)
	MOVD	ZR, 16(RSP)
	MOVD	ZR, 24(RSP)
	MOVD	ZR, 32(RSP)
	MOVD	ZR, 40(RSP)
	MOVD	ZR, 48(RSP)
	MOVD	ZR, 56(RSP)
	MOVD	$1, R19
signal:
	CMP	$9, R19	// SIGKILL
	BEQ	next
	CMP	$19, R19	// SIGSTOP
	BEQ	next
	MOVD	$134, R8	// rt_sigaction(R19, room, null, 8)
	MOVD	R19, R0
	MOVD	RSP, R1
	MOVD	$0, R2
	MOVD	$8, R3
	SVC
	CBNZ	R0, failed
next:
	ADD	$1, R19
	CMP	$64, R19
	BLE	signal

	MOVD	$135, R8	// rt_sigprocmask(SIG_SETMASK, room, null, 8)
	MOVD	$2, R0
	MOVD	RSP, R1
	MOVD	$0, R2
	MOVD	$8, R3
	SVC
	CBNZ	R0, failed

	MOVD	$221, R8	// execve(path, command, environment)
	MOVD	R20, R0
	MOVD	R21, R1
	MOVD	R22, R2
	SVC

failed:
	NEG	R0, R0
	MOVD	$'e', R3	// answerExec
	MOVB	R3, 0(RSP)
	MOVB	R0, 1(RSP)
	LSR	$8, R0, R0
	MOVB	R0, 2(RSP)
	MOVD	$64, R8	// write(controlFD, room, answerSize)
	MOVD	$3, R0
	MOVD	RSP, R1
	MOVD	$3, R2
	SVC
	MOVD	$126, R0	// exitExecFailed
	B	exit
over:
	MOVD	$125, R0	// exitNotReleased
exit:
	MOVD	$94, R8	// exit_group
	SVC
	B	exit
