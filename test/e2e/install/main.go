//go:build e2e

// Command install makes sure that the OpenClaw which the end-to-end tests share
// is installed, and prints the folder that holds its versions. It installs with
// creel's own installer, so that the tests run what users get.
//
// The folder is $CREEL_E2E_DATA, or else creel-e2e in the user's cache folder.
// If all is there, that takes a few milliseconds.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"creel/internal/openclaw"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	versions, err := install(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(versions)
}

func install(ctx context.Context) (versions string, err error) {
	data := os.Getenv("CREEL_E2E_DATA")
	if data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cannot find a folder for OpenClaw: %w; name one in CREEL_E2E_DATA", err)
		}
		data = filepath.Join(cache, "creel-e2e")
	}
	layout, err := openclaw.LayoutIn(data)
	if err != nil {
		return "", err
	}
	said := openclaw.Phase("")
	installer := &openclaw.Installer{Layout: layout, Environ: os.Environ(), Progress: func(p openclaw.Progress) {
		if p.Phase != said {
			said = p.Phase
			fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", p.Total.Round(time.Second).Seconds(), p.Message)
		}
	}}
	in, err := installer.Install(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Dir(in.Dir), nil
}
