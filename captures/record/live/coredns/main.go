// CoreDNS with what the recordings need: no cluster stands behind it, so a plugin of our own tells autopath the search
// domains of its clients, as plugin/kubernetes does from their pods, and plugin/file answers names of the cluster.
package main

import (
	"context"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	"github.com/coredns/coredns/plugin"
	_ "github.com/coredns/coredns/plugin/autopath"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/log"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

type pods struct{ next plugin.Handler }

func (p pods) Name() string { return "pods" }

func (p pods) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	return plugin.NextOrFailure(p.Name(), p.next, ctx, w, r)
}

func (p pods) AutoPath(request.Request) []string {
	return []string{"shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local.", ""}
}

func main() {
	dnsserver.Directives = append([]string{"pods"}, dnsserver.Directives...)
	plugin.Register("pods", func(c *caddy.Controller) error {
		c.Next()
		dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler { return pods{next} })
		return nil
	})
	coremain.Run()
}
