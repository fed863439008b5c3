// Command terraform-provider-ci is the provider for OpenTofu and Terraform,
// which start it and speak with it. It does what it does over the API.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"ci/cmd/terraform-provider-ci/provider"
)

var version = "dev" // the linker sets it

func main() {
	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{Address: provider.Address})
	if err != nil {
		fmt.Fprintln(os.Stderr, "terraform-provider-ci:", err)
		os.Exit(1)
	}
}
