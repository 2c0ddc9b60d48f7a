package provider

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/google/renameio/v2"

	"creel/internal/freeport"
	"creel/internal/telemetry"
)

// Place is where a gateway finds the proxy, and how it is known there. It is kept,
// since a gateway outlives creel: the next creel listens at the same port and knows
// the same credential.
type Place struct {
	Port       int
	Credential telemetry.Secret
	// Lost says why what was kept is not used: a gateway that runs still has the old
	// address and credential, until it is restarted. nil: nothing is lost.
	Lost error

	path    string
	unsaved bool // the file system is read-only; see Keep
}

// placeFile is the form of the file.
type placeFile struct {
	Port       int    `json:"port"`
	Credential string `json:"credential"`
}

// credentialPrefix tells a person who finds a credential whose it is.
const credentialPrefix = "creel-"

// OpenPlace reads the place in a file, or makes one without a port.
func OpenPlace(path string) (*Place, error) {
	p := &Place{path: path}
	kept, damage, err := readPlace(path)
	if err != nil {
		return nil, err
	}
	// A file that is damaged is made anew: the gateway learns of it at its next
	// start, as of any other change.
	if damage != nil {
		p.Lost = fmt.Errorf("%s is damaged and was made anew: %w", path, damage)
	}
	if kept.Port >= 1 && kept.Port <= 65535 {
		p.Port = kept.Port
	}
	if p.Credential = telemetry.Secret(kept.Credential); len(kept.Credential) < 2*32 {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // it does not fail since Go 1.24
		p.Credential = telemetry.Secret(credentialPrefix + hex.EncodeToString(b))
		if err := p.save(); err != nil {
			return nil, err
		}
	}
	return p, telemetry.Register(p.Credential.Reveal())
}

// ReadCredential reads the credential in a file, and changes nothing; "": there is none.
func ReadCredential(path string) (telemetry.Secret, error) {
	kept, damage, err := readPlace(path)
	if damage != nil {
		err = fmt.Errorf("cannot read where the gateway finds its model providers: %s is damaged: %w", path, damage)
	}
	return telemetry.Secret(kept.Credential), err
}

// readPlace reads a file, if there is one, and tells apart that it is damaged.
func readPlace(path string) (kept placeFile, damage, err error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kept, nil, nil
	case err != nil:
		return kept, nil, fmt.Errorf("cannot read where the gateway finds its model providers: %w", err)
	}
	if damage := json.Unmarshal(text, &kept); damage != nil {
		return placeFile{}, damage, nil
	}
	return kept, nil, nil
}

func (p *Place) save() error {
	text, err := json.Marshal(placeFile{p.Port, p.Credential.Reveal()})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.path), 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(p.path, append(text, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(p.path)), renameio.WithStaticPermissions(0o600))
	}
	if p.unsaved = errors.Is(err, syscall.EROFS); p.unsaved {
		p.Lost = fmt.Errorf("where the gateway finds its model providers cannot be kept yet, and another was made: %w", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot keep where the gateway finds its model providers: %w", err)
	}
	return nil
}

// Keep writes what could not be written when the place was made, on a file system that
// was read-only then: a gateway that runs goes on meanwhile, and none is started.
func (p *Place) Keep() error {
	if !p.unsaved {
		return nil
	}
	if err := p.save(); err != nil {
		return err
	}
	if p.unsaved {
		return p.Lost
	}
	return nil
}

// Listen listens at the place: at the port want, or if that is 0 at the one of the
// last time. If somebody else has that, another is taken, and moved is the old one:
// a gateway that runs does not find the proxy until it is started again. moved is 0
// if the gateway finds it where it was.
func (p *Place) Listen(want int) (l net.Listener, moved int, err error) {
	before, port := p.Port, want
	if port == 0 {
		port = before
	}
	if port != 0 {
		l, err = listenOn(port)
	}
	if port == 0 || want == 0 && errors.Is(err, syscall.EADDRINUSE) {
		// Gateways find their providers at the same port while creel is away, and after.
		if port, err = freeport.Find(nil); err == nil {
			l, err = listenOn(port)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("cannot listen for the gateway's requests to model providers: %w; set providers.port to one that is free", err)
	}
	if err := p.Took(l); err != nil {
		return nil, 0, errors.Join(err, l.Close())
	}
	if before != 0 && before != p.Port {
		moved = before
	}
	return l, moved, nil
}

func listenOn(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

// Took notes the port of a listener, which may be another creel's.
func (p *Place) Took(l net.Listener) error {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("cannot use a listener on %s for requests to model providers", l.Addr())
	}
	if addr.Port == p.Port {
		return nil
	}
	p.Port = addr.Port
	return p.save()
}

// URL is the address of a provider at the place, for the gateway.
func (p *Place) URL(name string) string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) + "/" + name
}
