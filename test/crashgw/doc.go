// Package crashgw is a gateway that fails in every way we know of, by switch.
//
// It is a real HTTP server in a real process. creel's tests, chaos runs and
// benchmarks put it where the app gateway would be, make it fail, and count
// what it really executed.
//
// # What it guarantees
//
//   - A ledger line is written by one write(2) with O_APPEND before the request
//     that it records is answered. Whatever was answered with 200 by /item is in
//     the ledger, also after SIGKILL; whatever is not in the ledger was not
//     executed.
//   - A POST or PATCH to /item whose idempotency key stands in the ledger is not
//     executed again, whichever process wrote the line. The look-up and the
//     write happen under flock(2), so that this holds between an orphan and its
//     successor too.
//   - The store of /store is linearizable: whatever was answered with 200 was
//     on the disk before, and every answer shows all that was answered before it
//     was asked for, also after SIGKILL and whichever process answers.
//   - Answers that are meant to be broken, or to be cut off, are written to the
//     connection byte by byte, not through net/http.
//   - A switch that is misspelt or makes no sense is refused (exit code 2, or
//     status 400): a test never passes because a switch was overlooked.
//
// # What it refuses
//
// It listens on 127.0.0.1 alone and has no authentication: /env shows its
// environment, and anyone who reaches it may kill it. It is for tests. It speaks
// HTTP/1.1 only, and no WebSocket extensions.
//
// # How to run it
//
// A test binary acts as crashgw when its first argument is "crashgw" and its
// TestMain begins with RunIfAsked. Command gives the argument list for that, to
// be handed to whatever starts gateways; Start runs it as a child of the test.
// A marker in the environment was rejected: a process started by crashgw, or by
// the program under test, would inherit it and become crashgw by accident.
//
// # Switches of the process
//
// Every switch may be given as a flag or as an environment variable: --boot-delay
// is CRASHGW_BOOT_DELAY. A flag wins over the variable. D is a Go duration.
//
//	--port N                    port on 127.0.0.1; else $CRASHGW_PORT, else $PORT
//	--boot-delay D              nothing listens before D has passed
//	--listen-early              the port opens at once, but every request except
//	                            /healthz gets 503 {"ready":false} during the boot delay
//	--exit-code N               code of the exits below (default 1)
//	--exit-after D              exit D after the start
//	--exit-before-ready         exit at the end of the boot delay instead of getting ready
//	--exit-if FILE              likewise, if there is such a file when the process starts
//	--ignore-sigterm            SIGTERM does nothing
//	--slow-term D               after SIGTERM go on serving for D (/readyz says 503), then
//	                            exit 0. Without it SIGTERM means exit 0 at once
//	--orphan[=serve|hold]       leave a child behind that has its own session and the
//	                            listening socket. After the parent's death it answers
//	                            requests (serve, the default) or lets them wait in the
//	                            backlog for ever (hold)
//	--orphan-for D              how long the orphan outlives the parent (default 1m)
//	--log-flood BYTES           write BYTES per second of lines to standard output
//	--die-after-requests N      answer N requests, then exit; later ones get no answer
//	--first-request-kills       the port check passes, but the first request is answered
//	                            500 without being executed, and the process exits at once
//	--first-request-kills-times-file FILE
//	                            FILE holds a number K: only the first K processes do so.
//	                            Each takes one off the number. Implies the switch above
//	--ledger FILE               record what /item executes
//	--state DIR                 change the databases and files in DIR all the time, so that a
//	                            copy that is not of one instant shows (package state, which
//	                            the program has to import). Ready with the first transaction
//	--state-every D             pause after each of these transactions
//	--store FILE                keep the state of /store
//	--lives FILE                record the start of the process, and its end unless it is
//	                            killed. FILE.lock is locked for as long as it lives: a process
//	                            that finds it locked records "overlap" instead of "start"
//
// Requests for /healthz and /readyz are never counted by --die-after-requests
// and never trigger --first-request-kills. Exits: 0 in good order, 2 for wrong
// usage, 98 if the port is taken.
//
// # Switches of a request
//
// A parameter stands in the query (?delay=1s) or in a header (Crashgw-Delay: 1s);
// the query wins. These work with every path except /healthz and /readyz:
//
//	delay=D      wait D before doing anything
//	below=G      delay only in a generation ($CREEL_GENERATION) below G
//	die=MODE     end the process, see below
//	code=N       exit code of die (default 1)
//	signal=NAME  die by this signal (KILL, ABRT, SEGV, …) instead of an exit code; the
//	             signal's handler is removed first, so the kernel reports the signal
//	times=K      die only while the ledger holds fewer than K deaths for id=; after that
//	             the request is served. Needs --ledger and id=
//	within=D     for 500-then-exit: time between the end of the answer and the exit
//	after=BYTES  for mid-request-body: read so many bytes instead of half
//
// The modes of die, and whether /item has been executed by then:
//
//	on-arrival         not executed; nothing is answered
//	mid-request-body   not executed; half of the request's body has been read (of a chunked
//	                   body: what the first read gave)
//	before-headers     executed; nothing is answered
//	after-headers      executed; the headers are out, Content-Length included
//	mid-body           executed; half of the declared Content-Length is out
//	mid-chunked        executed; half of the body is out in whole chunks, the last is missing
//	500-then-exit      executed; a whole 500 answer on a connection that stays open, then exit
//	500-close-exit     executed; a whole 500 answer, the connection is closed, then exit
//
// Paths whose answer is not one plain body know fewer modes, and refuse the others
// with 400: /sse, /stream, /slow-body, /eof-body, /1xx and /ws take on-arrival,
// mid-request-body and before-headers, and after-headers, mid-body and mid-chunked
// in the sense "at the start" and "in the middle" of what they send (/ws:
// after-headers, right after the handshake). The paths that fail by themselves
// take on-arrival, mid-request-body and before-headers.
//
// # Paths
//
//	/                 a small HTML page
//	/healthz          200 while the port is open
//	/readyz           503 until ready, then 200; 503 during --slow-term
//	/echo             200 and what was received, as Echo in JSON
//	/env              the environment, as a JSON object
//	/log?text=&to=stdout|stderr
//	                  writes a line to the log
//	/item?id=         executes: one line in the ledger, then 200 and Item in JSON. A POST
//	                  or PATCH with a known Idempotency-Key is answered with
//	                  "duplicate":true and recorded as a repeat
//	/ledger           the ledger as it is
//	/state            {"done":N}, the number of the last transaction that is complete (--state)
//	/store?list=&forget=1
//	                  lists that outlive the process: POST adds the body to one, PUT adds
//	                  it unless it is there, GET reads. The file is synced before the
//	                  answer, which is Stored in JSON. A known Idempotency-Key of a POST
//	                  adds nothing; with forget=1 keys are neither known nor kept
//	/hang?for=D       takes the request and never answers (or after D)
//	/hang-all?for=D   answers 202, then the whole process answers nothing (for D, or for
//	                  ever), while connections are still accepted
//	/late?by=D&for=D  answers 202, then every answer (those of /healthz and /readyz too)
//	                  begins late by D, for as long; what is being streamed goes on
//	/burn?for=D       answers 202, then uses all of one processor for D
//	/hog?kind=KIND    answers 202, and then takes all it can get, for the rest of the
//	                  process's life: memory (until the kernel kills it), cpu (8 busy
//	                  threads) or processes (of "sleep"). Only under limits
//	/refuse?for=D&drop=1
//	                  closes the listener, answers, and opens it again after D, same pid.
//	                  Idle connections are closed, with drop all of them
//	/slow-body?bytes=N&rate=R
//	                  N bytes with Content-Length at R bytes per second
//	/sse?n=N&every=D  N server-sent events, flushed one by one; Last-Event-ID is honoured
//	/stream?n=N&bytes=B&every=D
//	                  N chunks of B bytes and trailers
//	/trailers         a short answer with an announced and an unannounced trailer
//	/1xx?n=N          N times 103 Early Hints, then 200
//	/early-answer?rst=1
//	                  413 before the body is read, then half-closes and drains for up to a
//	                  second; with rst it closes at once, so that the kernel may reset
//	                  the connection and the client may lose the answer
//	/upload?rate=R    reads the body (at R bytes per second), answers its size and hash.
//	                  Expect: 100-continue is honoured when the reading begins
//	/download?bytes=N N bytes of PatternReader with Content-Length
//	/eof-body?bytes=N&version=1.0
//	                  a body that ends where the connection ends
//	/bad?kind=KIND    an answer that breaks HTTP, see below
//	/status?code=N    that status (200 to 999)
//	/set-cookie?n=N   N Set-Cookie lines
//	/headers          hop-by-hop headers in the answer (Connection: X-Foo, Keep-Alive, …)
//	/ws?hello=1&subprotocol=NAME
//	                  WebSocket echo, see below
//
// The kinds of /bad; after each the connection is closed:
//
//	status-line       a status line without a number
//	garbage           bytes that are not HTTP
//	empty             no byte at all
//	huge-headers      bytes= (default 2 MiB) of header lines
//	endless-header    the same in a single line
//	double-length     two Content-Length lines that differ
//	length-and-chunked  both framings at once
//	bad-chunk         a chunk size that is no number
//	negative-length   Content-Length: -1
//	header-injection  value= (default one with CRLF and a Set-Cookie) put into a header as it is
//	lf-in-header      header lines that end in a bare LF
//	nul-in-header     a NUL in a header value
//	space-in-name     a space before the colon
//	extra-bytes       unsolicited bytes after a correct keep-alive answer; the connection
//	                  stays open until the client closes it
//
// # WebSocket
//
// /ws echoes text and binary messages, fragmented ones too, as one frame each. It
// fails the connection as RFC 6455 says: 1002 for unmasked frames and other breaches
// of the protocol, 1007 for text that is not UTF-8, 1009 for more than 16 MiB. With
// hello=1 the first message is {"pid":N}; subprotocol=NAME selects NAME if the
// client offers it. Text messages that are orders:
//
//	close              a close frame without a code
//	close:CODE:REASON  a close frame with any code, reserved ones included
//	die                exit with code 1, no close frame
//	drop               end the TCP connection without a close frame
//	ping:DATA          send a ping (the pong is not echoed)
//	fragments:N:TEXT   send TEXT in N frames
package crashgw
