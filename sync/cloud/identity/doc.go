// Package identity says who is who: the certificate authority of a cloud, how
// boxes join a site, renew their certificates and show in every request that
// they hold them.
//
// An Authority is files: ca/root.pem and ca/root.key, which may be taken offline,
// and ca/issuer.pem and ca/issuer.key, the same on every cloud node. A Registrar
// answers boxes: it alone decides with the registry who is let in.
package identity
