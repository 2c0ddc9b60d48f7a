package upstream

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// socket is a TCP connection: *net.TCPConn, or what is cheaper to make.
type socket interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
	SetNoDelay(bool) error
}

// dialFunc makes a connection. It may have TCP_NODELAY set or not.
type dialFunc func(ctx context.Context) (socket, error)

// dialPlainly connects as package net does.
func dialPlainly(addr string) dialFunc {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	return func(ctx context.Context) (socket, error) {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		s, ok := c.(socket)
		if !ok {
			return nil, fmt.Errorf("cannot use a connection of type %T", c)
		}
		return s, nil
	}
}
