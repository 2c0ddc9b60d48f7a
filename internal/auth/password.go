package auth

import "net/http"

// password is signing in with the owner's password.
type password struct{}

func (p *password) routes(*Gate) []Route { return nil }

func (p *password) offer() offer { return offer{Kind: "password", Text: "Sign in"} }

func (p *password) login(*Gate, http.ResponseWriter, *http.Request, Sender, string) {}
