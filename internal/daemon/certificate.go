package daemon

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"creel/internal/config"
)

// CertificateError says that the certificate of the configuration cannot be used.
type CertificateError struct {
	Cert string
	Err  error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("cannot use the certificate %s: %v; correct tls.cert and tls.key", e.Cert, e.Err)
}

func (e *CertificateError) Unwrap() error { return e.Err }

// certificate is what clients are shown. A renewed one is shown from the next
// handshake on.
type certificate struct {
	now atomic.Pointer[tls.Certificate]
}

// read reads the files of a configuration; nil: it names none. The error is a
// *CertificateError.
func readCertificate(t config.TLS) (*tls.Certificate, error) {
	if t.Cert == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, &CertificateError{Cert: t.Cert, Err: err}
	}
	return &c, nil
}

func (c *certificate) load(t config.TLS) error {
	read, err := readCertificate(t)
	if err != nil {
		return err
	}
	c.now.Store(read)
	return nil
}

// config is for a server that speaks TLS; nil: it is to speak in the clear.
func (c *certificate) config() *tls.Config {
	if c.now.Load() == nil {
		return nil
	}
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }}
}
