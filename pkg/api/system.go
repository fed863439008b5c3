package api

import (
	"context"
	"iter"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ListAgents returns all agents.
func (c *Client) ListAgents(ctx context.Context) ([]ci.Agent, error) {
	m, err := call(ctx, c, c.agents.ListAgents, new(civ1.ListAgentsRequest))
	if err != nil {
		return nil, err
	}
	var agents []ci.Agent
	for _, a := range m.GetAgents() {
		agents = append(agents, convert.FromAgent(a))
	}
	return agents, nil
}

// Drain orders an agent to take nothing new and returns the order as it was recorded.
func (c *Client) Drain(ctx context.Context, agent string, d ci.Drain) (ci.Drain, error) {
	m, err := call(ctx, c, c.agents.DrainAgent, &civ1.DrainAgentRequest{Id: agent, Drain: convert.ToDrain(&d)})
	if err != nil {
		return ci.Drain{}, err
	}
	return convert.FromDrain(m), nil
}

// GetDrain returns how an agent's drain stands; ci.CodeNotFound while it is not drained.
func (c *Client) GetDrain(ctx context.Context, agent string) (ci.Drain, error) {
	m, err := call(ctx, c, c.agents.GetDrain, &civ1.GetDrainRequest{Id: agent})
	if err != nil {
		return ci.Drain{}, err
	}
	return convert.FromDrain(m), nil
}

// Undrain lets an agent take runs again.
func (c *Client) Undrain(ctx context.Context, agent string) error {
	_, err := call(ctx, c, c.agents.UndrainAgent, &civ1.UndrainAgentRequest{Id: agent})
	return err
}

// Queues returns how many runs wait in each lane.
func (c *Client) Queues(ctx context.Context) ([]ci.QueueDepth, error) {
	m, err := call(ctx, c, c.agents.ListQueues, new(civ1.ListQueuesRequest))
	if err != nil {
		return nil, err
	}
	var queues []ci.QueueDepth
	for _, q := range m.GetQueues() {
		queues = append(queues, convert.FromQueue(q))
	}
	return queues, nil
}

// GetConfig returns the configuration.
func (c *Client) GetConfig(ctx context.Context) (*ci.Config, error) {
	m, err := call(ctx, c, c.system.GetConfig, new(civ1.GetConfigRequest))
	if err != nil {
		return nil, err
	}
	return convert.FromConfig(m), nil
}

// PutConfig replaces the whole configuration and returns it as it is stored.
// ifVersion replaces only that version (else ci.CodeStale); 0 replaces any.
func (c *Client) PutConfig(ctx context.Context, config *ci.Config, ifVersion int64) (*ci.Config, error) {
	req := &civ1.PutConfigRequest{Config: convert.ToConfig(config)}
	if ifVersion != 0 {
		req.IfMatch = versionTag(ifVersion)
	}
	m, err := call(ctx, c, c.system.PutConfig, req)
	if err != nil {
		return nil, err
	}
	return convert.FromConfig(m), nil
}

// WhoAmI returns whom the client's token stands for.
func (c *Client) WhoAmI(ctx context.Context) (*ci.Caller, error) {
	m, err := call(ctx, c, c.tokens.WhoAmI, new(civ1.WhoAmIRequest))
	if err != nil {
		return nil, err
	}
	return convert.FromCaller(m), nil
}

// CreateToken makes a token from t's name, role, jobs and expiry. The bearer is shown this once.
func (c *Client) CreateToken(ctx context.Context, t ci.Token) (bearer string, recorded ci.Token, err error) {
	m, err := once(ctx, c, c.tokens.CreateToken, &civ1.CreateTokenRequest{Token: convert.ToNewToken(&t)})
	if err != nil {
		return "", ci.Token{}, err
	}
	return m.GetBearer(), convert.FromToken(m.GetToken()), nil
}

// ListTokens goes through all tokens, revoked ones too. An error is the last thing it yields.
func (c *Client) ListTokens(ctx context.Context) iter.Seq2[ci.Token, error] {
	return pages(func(token string) ([]ci.Token, string, error) {
		m, err := call(ctx, c, c.tokens.ListTokens, &civ1.ListTokensRequest{PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, "", err
		}
		var tokens []ci.Token
		for _, t := range m.GetTokens() {
			tokens = append(tokens, convert.FromToken(t))
		}
		return tokens, m.GetNextPageToken(), nil
	})
}

// GetToken returns what is recorded of a token, revoked or not, or ci.CodeNotFound.
func (c *Client) GetToken(ctx context.Context, id string) (ci.Token, error) {
	m, err := call(ctx, c, c.tokens.GetToken, &civ1.GetTokenRequest{Id: id})
	if err != nil {
		return ci.Token{}, err
	}
	return convert.FromToken(m), nil
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := call(ctx, c, c.tokens.RevokeToken, &civ1.RevokeTokenRequest{Id: id})
	return err
}
