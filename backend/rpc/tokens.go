package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// WhoAmI says whom the caller's token stands for.
func (s *Services) WhoAmI(ctx context.Context, _ *civ1.WhoAmIRequest) (*civ1.Caller, error) {
	p, _ := auth.FromContext(ctx)
	return convert.ToCaller(&ci.Caller{
		TokenID: p.TokenID, Name: p.Name, Role: p.Role, Jobs: p.Jobs, Agent: p.Agent,
		ExpiresAt: p.ExpiresAt, Run: p.Run, Triggers: p.Triggers,
	}), nil
}

// CreateToken makes a token and shows its bearer this once.
func (s *Services) CreateToken(ctx context.Context, req *civ1.CreateTokenRequest) (*civ1.CreateTokenResponse, error) {
	bearer, recorded, err := s.Tokens.Mint(ctx, convert.FromNewToken(req.GetToken()))
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	s.Log.Info("token made", "token", recorded.ID, "name", recorded.Name, "role", recorded.Role, "by", p.Name)
	return &civ1.CreateTokenResponse{Token: convert.ToToken(&recorded), Bearer: bearer}, nil
}

// ListTokens returns one page of what is recorded of tokens.
func (s *Services) ListTokens(ctx context.Context, req *civ1.ListTokensRequest) (*civ1.ListTokensResponse, error) {
	pg, err := newPage("tokens", req.GetPageSize(), req.GetPageToken(), "")
	if err != nil {
		return nil, err
	}
	tokens, err := s.Store.ListTokens(ctx, pg.after, pg.size+1)
	if err != nil {
		return nil, err
	}
	tokens, next := cut(pg, tokens, func(t *ci.Token) string { return t.ID })
	out := &civ1.ListTokensResponse{NextPageToken: next}
	for i := range tokens {
		out.Tokens = append(out.Tokens, convert.ToToken(&tokens[i]))
	}
	return out, nil
}

// GetToken returns what is recorded of a token.
func (s *Services) GetToken(ctx context.Context, req *civ1.GetTokenRequest) (*civ1.Token, error) {
	t, err := s.Store.GetToken(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return convert.ToToken(t), nil
}

// RevokeToken ends a token.
func (s *Services) RevokeToken(ctx context.Context, req *civ1.RevokeTokenRequest) (*emptypb.Empty, error) {
	if err := s.Store.RevokeToken(ctx, req.GetId(), s.Store.Now()); err != nil {
		return nil, err
	}
	s.Tokens.Forget(req.GetId())
	p, _ := auth.FromContext(ctx)
	s.Log.Info("token revoked", "token", req.GetId(), "by", p.Name)
	return new(emptypb.Empty), nil
}
