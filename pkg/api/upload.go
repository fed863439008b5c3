package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// uploadPiece is how many bytes of a result one message carries.
const uploadPiece = 256 << 10

// PutResult stores one result and returns it with Size and SHA256. It holds
// one piece in memory, and waits when the server is slow. The server stores
// nothing of a result that arrives in part, or with another sum.
func (a *Agent) PutResult(ctx context.Context, c ci.Claim, r ci.Result, body io.Reader) (ci.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whatever ends this early cuts the stream: it has no sum yet
	stream, err := a.work.UploadResult(ctx)
	if err != nil {
		return r, a.client.fault(ctx, err)
	}
	sum := sha256.New()
	sendErr := stream.Send(&civ1.UploadResultRequest{Claim: convert.ToClaim(&c), Result: convert.ToResult("", &r)})
	for piece := make([]byte, uploadPiece); sendErr == nil; {
		n, err := io.ReadFull(body, piece)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return r, err
		}
		sum.Write(piece[:n])
		m := &civ1.UploadResultRequest{Data: piece[:n]}
		if err != nil {
			m.Sha256 = hex.EncodeToString(sum.Sum(nil))
		}
		sendErr = stream.Send(m)
		if err != nil {
			break
		}
	}
	if sendErr != nil && !errors.Is(sendErr, io.EOF) { // EOF: the answer says why
		return r, lost(a.client.fault(ctx, sendErr))
	}
	stored, err := stream.CloseAndReceive()
	if err != nil {
		return r, lost(a.client.fault(ctx, err))
	}
	return convert.FromResult(stored), nil
}
