package openclaw

// ModelProvider is a model provider as OpenClaw is told of it.
type ModelProvider struct {
	Name    string
	BaseURL string // "": OpenClaw's own, if it knows the provider
	APIKey  string // a key, a credential, or a reference such as ${NAME}
	// API is one of OpenClaw's adapters; "": its own for the provider.
	API string
	// Models are those that OpenClaw does not know by itself.
	Models []string
}

// What OpenClaw is told of a model that it does not know: as moltworker has it.
const (
	unknownContext = 131072
	unknownOutput  = 8192
)

// ModelSettings are the settings for providers. model is the default model, as
// provider/model; "": OpenClaw's own.
//
// All of them give way to what a person has written: whoever puts a key of their
// own into OpenClaw's configuration keeps it.
func ModelSettings(providers []ModelProvider, model string) []Setting {
	var list []Setting
	add := func(value any, path ...string) {
		list = append(list, Setting{Path: path, Value: value, Mode: Default})
	}
	for _, p := range providers {
		at := func(key string) []string { return []string{"models", "providers", p.Name, key} }
		if p.BaseURL != "" {
			add(p.BaseURL, at("baseUrl")...)
		}
		if p.APIKey != "" {
			add(p.APIKey, at("apiKey")...)
		}
		if p.API != "" {
			add(p.API, at("api")...)
		}
		if len(p.Models) > 0 {
			rows := make([]map[string]any, len(p.Models))
			for i, id := range p.Models {
				rows[i] = map[string]any{"id": id, "name": id, "contextWindow": unknownContext, "maxTokens": unknownOutput}
			}
			add(rows, at("models")...)
		}
	}
	if model != "" {
		add(model, "agents", "defaults", "model", "primary")
	}
	return list
}
