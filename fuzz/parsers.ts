/** Everything that reads what strangers write, and which target of the fuzzer reads it with changed input. `docs/reliability.md` shows it; a test holds both together. */
export interface Parser {
  reads: string
  file: string
  target: string
}

/** Those that only a whole server has: fuzz/live.ts. */
export const LIVE = 'request to a server'

export const PARSERS: Parser[] = [
  { reads: 'signature and header of a SET', file: 'packages/ssf/src/receiver/verify-jws.ts', target: 'signed SET' },
  { reads: 'claims of a SET', file: 'packages/protocol/src/set.ts', target: 'SET' },
  { reads: 'what an event means for tokens', file: 'packages/protocol/src/cutoffs-of.ts', target: 'SET' },
  { reads: 'a subject', file: 'packages/protocol/src/subject.ts', target: 'subject' },
  { reads: 'a list of cutoffs', file: 'packages/protocol/src/cutoff.ts', target: 'cutoffs' },
  { reads: 'where a log stands', file: 'packages/protocol/src/head.ts', target: 'head' },
  { reads: 'the body of a poll', file: 'packages/ssf/src/transmitter/poll-request.ts', target: 'poll request' },
  { reads: 'the answer to a poll', file: 'packages/ssf/src/receiver/delivery.ts', target: 'poll answer' },
  {
    reads: 'stream configuration, status, subjects and verification at the transmitter',
    file: 'packages/ssf/src/transmitter/transmitter.ts',
    target: 'transmitter',
  },
  { reads: 'stream configuration at the receiver', file: 'packages/ssf/src/receiver/stream-configuration.ts', target: 'stream configuration' },
  { reads: 'metadata of a transmitter', file: 'packages/ssf/src/receiver/discover.ts', target: 'metadata' },
  { reads: 'a pushed SET', file: 'packages/ssf/src/receiver/push.ts', target: 'push' },
  { reads: 'a snapshot', file: 'packages/ssf/src/receiver/read-snapshot.ts', target: 'snapshot' },
  { reads: 'a segment out of a cache', file: 'packages/ssf/src/receiver/read-segment.ts', target: 'segment in a cache' },
  { reads: 'the columns of a segment', file: 'packages/protocol/src/columns.ts', target: 'columns of a segment' },
  { reads: 'messages of NATS to a fleet', file: 'packages/ssf/src/receiver/carrier.ts', target: 'fleet message' },
  { reads: 'an access token', file: 'packages/guard/src/token.ts', target: 'access token' },
  { reads: 'a proof of a key (DPoP)', file: 'packages/guard/src/proof.ts', target: 'proof of a key' },
  { reads: 'the keys of an issuer', file: 'packages/guard/src/jwks.ts', target: 'keys of an issuer' },
  { reads: 'metadata of an issuer', file: 'packages/guard/src/discovery.ts', target: 'metadata of an issuer' },
  { reads: 'location rules', file: 'packages/guard/src/read-rules.ts', target: 'location rules' },
  { reads: 'what a proxy was asked', file: 'packages/guard/src/gateway/original.ts', target: 'request of a proxy' },
  { reads: 'a path', file: 'packages/guard/src/gateway/path.ts', target: 'request of a proxy' },
  { reads: 'evidence of an address', file: 'packages/protocol/src/evidence.ts', target: 'evidence' },
  { reads: 'X-Forwarded-For', file: 'packages/policy/src/caller.ts', target: 'forwarded header' },
  { reads: 'WWW-Authenticate and the claims challenge in it', file: 'packages/protocol/src/challenge.ts', target: 'challenge' },
  { reads: 'the claims parameter', file: 'packages/protocol/src/claims-request.ts', target: 'claims request' },
  { reads: '$filter, $search, $orderby, $select and $skiptoken', file: 'packages/server/src/graph/query.ts', target: 'query of a list' },
  { reads: 'bodies of the admin API, $batch among them', file: 'packages/server/src/graph/routes.ts', target: 'body of the admin API' },
  { reads: 'a Conditional Access policy', file: 'packages/policy/src/parse-policy.ts', target: 'policy' },
  { reads: 'a rule about devices', file: 'packages/policy/src/device-rule.ts', target: 'device rule' },
  { reads: 'a tenant file', file: 'packages/server/src/directory/tenant-file.ts', target: 'tenant file' },
  { reads: 'a filter of SCIM', file: 'packages/server/src/scim/filter.ts', target: 'filter of SCIM' },
  { reads: 'a PATCH of SCIM', file: 'packages/server/src/scim/patch.ts', target: 'patch of SCIM' },
  { reads: 'messages of LDAP', file: 'packages/server/src/ldap/frame.ts', target: 'messages of LDAP' },
  { reads: 'entries of LDAP', file: 'packages/server/src/ldap/person.ts', target: 'entry of LDAP' },
  { reads: 'a database of countries', file: 'packages/server/src/geo.ts', target: 'countries (MMDB)' },
  { reads: 'events of an upstream', file: 'packages/server/src/upstream/meaning.ts', target: 'event of an upstream' },
  { reads: 'what a passkey answers', file: 'packages/server/src/signin/passkey.ts', target: 'answer of a passkey' },
  { reads: 'DATABASE_URL', file: 'packages/server/src/database-url.ts', target: 'URL of a database' },
  { reads: 'an event stream, at the command line', file: 'packages/cli/src/event-stream.ts', target: 'event stream at a client' },
  { reads: 'Last-Event-ID', file: 'packages/server/src/graph/events.ts', target: 'place in an event stream' },
  { reads: 'sign-in pages: forms, cookies, codes', file: 'packages/server/src/signin/routes.ts', target: LIVE },
  { reads: 'token endpoint, device codes, introspection, revocation', file: 'packages/server/src/issuer/routes.ts', target: LIVE },
  { reads: 'global token revocation', file: 'packages/server/src/graph/global-revocation.ts', target: LIVE },
  { reads: 'bodies and headers of SSF', file: 'packages/server/src/signals/routes.ts', target: LIVE },
  { reads: 'bodies, filters and versions of SCIM', file: 'packages/server/src/scim/routes.ts', target: LIVE },
]

/** A line each, as the page has them. */
export function parserRows(): string[] {
  return PARSERS.map(({ reads, file, target }) => `| ${reads} | [${file.replace(/^packages\/|\/src/g, '')}](../${file}) | ${target} |`)
}
