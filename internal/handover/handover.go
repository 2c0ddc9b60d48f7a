// Package handover lets a process hand its open files to a successor: the same
// program, perhaps of another version, that goes on where this one stops.
//
// It guarantees that at any moment one of the two is in charge. The successor
// first proves that it can work (Prepared), without touching anything; then the
// predecessor lets go of what only one may hold and says so (Go); then the
// successor takes it up (Ready). If the successor fails or falls silent at any
// step, the predecessor ends it and takes everything up again.
//
// The two talk over a socket pair. Its end tells each that the other is gone:
// a successor whose predecessor dies before Go ends, too; one whose predecessor
// dies after Go goes on alone.
//
// Rejected: handing over in the same process by exec(2), which would cut every
// connection; SO_REUSEPORT with two listeners, where connections that wait in
// the accept queue of the one that closes are reset.
package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// variable tells the successor, in its environment, the number of the socket.
// Its value is always that of the first file that exec passes on besides the
// standard ones. The files themselves come over the socket (SCM_RIGHTS, unix(7)):
// passing them through exec would make them blocking, for this process too, and
// a listener whose accept(2) blocks cannot be closed.
const (
	variable   = "_CREEL_HANDOVER"
	socketFile = 3
)

// The words of the conversation, one to a line.
const (
	wordPrepared = "prepared"
	wordGo       = "go"
	wordReady    = "ready"
	wordFailed   = "failed "
)

// File is an open file, or a socket, with a name that both sides know.
type File struct {
	Name string // without commas
	File syscall.Conn
}

// Successor is the process that is to take over, as its predecessor sees it.
type Successor struct {
	child *child
	talk  *talk
}

// Start starts a successor. The files are duplicated: the caller's stay its own.
// As a sibling the successor is a child of this process's parent, as a service
// manager wants it of the main process of a service.
func Start(path string, args, environ []string, files []File, sibling bool) (*Successor, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to a successor: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "handover"), os.NewFile(uintptr(fds[1]), "handover")
	defer theirs.Close()
	t, err := newTalk(ours)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(slices.Clone(environ), fmt.Sprintf("%s=%d", variable, socketFile))
	c, err := start(cmd, sibling)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", path, err), t.close())
	}
	s := &Successor{child: c, talk: t}
	if err := t.send(files); err != nil {
		return nil, errors.Join(err, s.Abandon())
	}
	return s, nil
}

// PID is the successor's process.
func (s *Successor) PID() int { return s.child.cmd.Process.Pid }

// AwaitPrepared waits until the successor has proved that it can work.
func (s *Successor) AwaitPrepared(ctx context.Context) error { return s.talk.expect(ctx, wordPrepared) }

// Go tells the successor that it may take up what was let go of.
func (s *Successor) Go() error { return s.talk.say(wordGo) }

// AwaitReady waits until the successor is in charge.
func (s *Successor) AwaitReady(ctx context.Context) error { return s.talk.expect(ctx, wordReady) }

// Abandon ends a successor that has not got ready, and waits for its end.
func (s *Successor) Abandon() error { return errors.Join(s.child.kill(), s.talk.close()) }

// Terminate asks it to end, as by SIGTERM. It may have ended.
func (s *Successor) Terminate() error { return s.child.signal(unix.SIGTERM) }

// Release lets a successor that is in charge go its own way: it may know by that, see
// Released, that nothing more is to be told to it.
func (s *Successor) Release() error { return s.talk.close() }

// Predecessor is the process that is to be succeeded, as its successor sees it.
type Predecessor struct {
	talk     *talk
	files    map[string]*os.File
	released chan struct{}
}

// Inherit takes what a predecessor hands over. It returns nil if this process
// has none, and the environment without what is only for this purpose.
func Inherit(environ []string) (*Predecessor, []string, error) {
	i := slices.IndexFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, variable+"=") })
	if i < 0 {
		return nil, environ, nil
	}
	environ = slices.Delete(slices.Clone(environ), i, i+1)
	unix.CloseOnExec(socketFile) // it is not for the gateway
	t, err := newTalk(os.NewFile(socketFile, "handover"))
	if err != nil {
		return nil, environ, err
	}
	files, err := t.receive()
	if err != nil {
		return nil, environ, errors.Join(err, t.close())
	}
	return &Predecessor{talk: t, files: files, released: make(chan struct{})}, environ, nil
}

// File is the file of that name. It returns nil if none was handed over.
func (p *Predecessor) File(name string) *os.File { return p.files[name] }

// Prepared says that this process can work, and waits until it may.
func (p *Predecessor) Prepared(ctx context.Context) error {
	if err := p.talk.say(wordPrepared); err != nil {
		return err
	}
	return p.talk.expect(ctx, wordGo)
}

// Ready says that this process is in charge. A predecessor that has died
// meanwhile is none the worse for not hearing it. It must be called once at the most.
func (p *Predecessor) Ready() {
	_ = p.talk.say(wordReady) // nobody is left to hear it, then
	go func() {               // ends with the predecessor at the latest
		p.talk.awaitEnd()
		_ = p.talk.close()
		close(p.released)
	}()
}

// Released is closed when the predecessor, after Ready, has let this process go its own
// way, or has ended.
func (p *Predecessor) Released() <-chan struct{} { return p.released }

// Failed says why this process cannot take over.
func (p *Predecessor) Failed(cause error) {
	_ = p.talk.say(wordFailed + strings.ReplaceAll(cause.Error(), "\n", " ")) // it will hear of this process's end
	_ = p.talk.close()
}

// talk is one end of the conversation.
type talk struct {
	conn *net.UnixConn
	in   *bufio.Reader
}

// sayTimeout bounds the writing of one word to a peer that lives, and the
// reading of the first one from a peer that has just started us.
const sayTimeout = 5 * time.Second

// maxFiles is how many files may be handed over.
const maxFiles = 8

// newTalk takes over f.
func newTalk(f *os.File) (*talk, error) {
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, cannotTalk(err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(cannotTalk(fmt.Errorf("it is a %T", c)), c.Close())
	}
	return &talk{conn: u, in: bufio.NewReader(u)}, nil
}

func cannotTalk(err error) error { return fmt.Errorf("cannot talk to the other creel: %w", err) }

// send hands files over, with their names as one line.
func (t *talk) send(files []File) error {
	var names []string
	var fds []int
	for _, f := range files {
		raw, err := f.File.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
		}
		if err != nil {
			return fmt.Errorf("cannot hand over the %s: %w", f.Name, err)
		}
		names = append(names, f.Name)
	}
	if err := t.conn.SetWriteDeadline(time.Now().Add(sayTimeout)); err != nil {
		return cannotTalk(err)
	}
	// The numbers are still those of the open files: whoever hands them over
	// keeps them open meanwhile.
	if _, _, err := t.conn.WriteMsgUnix([]byte(strings.Join(names, ",")+"\n"), unix.UnixRights(fds...), nil); err != nil {
		return cannotTalk(err)
	}
	return nil
}

// receive takes the files.
func (t *talk) receive() (map[string]*os.File, error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(sayTimeout)); err != nil {
		return nil, cannotTalk(err)
	}
	line, oob := make([]byte, 1024), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := t.conn.ReadMsgUnix(line, oob)
	if err != nil {
		return nil, cannotTalk(err)
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		rights, rightsErr := unix.ParseUnixRights(&m)
		fds, err = append(fds, rights...), errors.Join(err, rightsErr)
	}
	names := strings.Split(strings.TrimSuffix(string(line[:n]), "\n"), ",")
	if err == nil && len(names) != len(fds) {
		err = fmt.Errorf("it named %d files and handed over %d", len(names), len(fds))
	}
	files := map[string]*os.File{}
	for i, fd := range fds {
		files[names[min(i, len(names)-1)]] = os.NewFile(uintptr(fd), "handed over")
	}
	if err != nil {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return nil, cannotTalk(err)
	}
	return files, t.conn.SetReadDeadline(time.Time{})
}

func (t *talk) say(word string) error {
	if err := t.conn.SetWriteDeadline(time.Now().Add(sayTimeout)); err != nil {
		return cannotTalk(err)
	}
	if _, err := t.conn.Write([]byte(word + "\n")); err != nil {
		return cannotTalk(err)
	}
	return nil
}

// expect waits for a word. Any other, or the end, is an error.
func (t *talk) expect(ctx context.Context, word string) error {
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) }) // fails only on a closed socket
	defer stop()
	line, err := t.in.ReadString('\n')
	line = strings.TrimSuffix(line, "\n")
	switch {
	case err == nil && line == word:
		return nil
	case err == nil && strings.HasPrefix(line, wordFailed):
		return errors.New(strings.TrimPrefix(line, wordFailed))
	case err == nil:
		return fmt.Errorf("the other creel said %q where %q was due", line, word)
	case ctx.Err() != nil:
		return fmt.Errorf("the other creel did not say %q in time: %w", word, context.Cause(ctx))
	}
	return fmt.Errorf("the other creel ended before it said %q", word)
}

// awaitEnd waits until the other end is closed; nothing more is to be said there.
func (t *talk) awaitEnd() {
	_, _ = t.in.WriteTo(io.Discard) // however it ends, it is over
}

func (t *talk) close() error { return t.conn.Close() }
