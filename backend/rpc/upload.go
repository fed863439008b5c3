package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"connectrpc.com/connect"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// UploadResult stores one result as it comes in. The claim is checked before
// the first byte is read, and again in the transaction that makes it a result.
func (s *Services) UploadResult(ctx context.Context, stream *connect.ClientStream[civ1.UploadResultRequest]) (*civ1.Result, error) {
	if !stream.Receive() {
		return nil, broken(stream.Err())
	}
	first := stream.Msg()
	c, err := s.held(ctx, first.GetClaim())
	if err != nil {
		return nil, err
	}
	config, err := s.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	r := convert.FromResult(first.GetResult())
	body := &upload{stream: stream, rest: first.GetData(), sum: sha256.New(), want: first.GetSha256(), left: config.MaxResult}
	stored, err := s.Work.PutResult(ctx, c, r, body)
	if body.err != nil && body.err != io.EOF {
		err = body.err // what the store makes of it says less
	}
	if err != nil {
		return nil, err
	}
	run, err := s.Store.GetRun(ctx, "", c.Run)
	if err != nil {
		return nil, err
	}
	return convert.ToResult(run.Job, &stored), nil
}

// broken is an upload that ended before it was complete.
func broken(cause error) error {
	if cause == nil {
		return ci.Errorf(ci.CodeInvalid, "the upload ended before its sum; nothing of it is stored")
	}
	return ci.Errorf(ci.CodeUnavailable, "the upload broke off; nothing of it is stored: %w", cause)
}

// upload reads the bytes out of a stream of messages. It holds one message at
// a time, and ends well only if what it has read has the sum that came last.
type upload struct {
	stream *connect.ClientStream[civ1.UploadResultRequest]
	rest   []byte
	sum    hash.Hash
	want   string
	left   int64 // bytes that may still come
	err    error // what every further Read returns
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	for len(u.rest) == 0 && u.err == nil {
		u.err = u.next()
	}
	if u.err != nil {
		return 0, u.err
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	u.sum.Write(p[:n])
	if u.left -= int64(n); u.left < 0 {
		u.err = ci.Errorf(ci.CodeTooLarge, "the result is over the limit of all results of a run; nothing of it is stored")
		return 0, u.err
	}
	return n, nil
}

// next takes the next message, or finds out how it all ended.
func (u *upload) next() error {
	if u.stream.Receive() {
		if u.want != "" {
			return ci.Errorf(ci.CodeInvalid, "the upload goes on behind its sum; nothing of it is stored")
		}
		u.rest, u.want = u.stream.Msg().GetData(), u.stream.Msg().GetSha256()
		return nil
	}
	if u.stream.Err() != nil || u.want == "" {
		return broken(u.stream.Err())
	}
	if got := hex.EncodeToString(u.sum.Sum(nil)); got != u.want {
		return ci.Errorf(ci.CodeInvalid, "the upload came with SHA-256 %s and its bytes have %s; nothing of it is stored", u.want, got)
	}
	return io.EOF
}
