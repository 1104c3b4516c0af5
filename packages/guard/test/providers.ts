import { generateKeyPairSync } from 'node:crypto'
import { createGuard } from '../src/guard.ts'
import type { GuardOptions } from '../src/options.ts'
import { createClocks, jwkOf, type KeyPair, mint, START } from './tokens.ts'

const TID = '8c3dad1f-64a9-4fd8-8f2a-0d2b53ed7e11'
const OID = '0b9f4e0c-5a1b-4c4e-9a53-6e36a1f0c1d2'
const APP = '2f9b8c1e-7f7a-4b0f-8d30-94f1a7f0b6aa'

/** What an identity provider publishes and issues, by its public documentation; the keys are made here. */
export interface Provider {
  issuer: string
  audience: string
  /** Where its metadata is, as its documentation says. */
  metadataAt: string
  /** Has to be told to the guard: it does not follow from the issuer's name. */
  metadataUrl?: string
  jwksUri: string
  metadata: Record<string, unknown>
  /** Beside `alg` and `kid`. */
  header: Record<string, unknown>
  algorithm: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'
  /** Members of its JWKs beside those of the key. */
  jwk: Record<string, unknown>
  claims: Record<string, unknown>
  /** Ids by which a token of it can be revoked, by kind. */
  ids: Partial<Record<'tenant' | 'user' | 'session' | 'token' | 'app', string[]>>
}

const times = { iat: START - 60, nbf: undefined, exp: START + 3540 }
const none = { sub: undefined, oid: undefined, tid: undefined, sid: undefined, jti: undefined, client_id: undefined }

export const PROVIDERS = {
  'Entra v2': {
    issuer: `https://login.microsoftonline.com/${TID}/v2.0`,
    audience: APP,
    metadataAt: `https://login.microsoftonline.com/${TID}/v2.0/.well-known/openid-configuration`,
    jwksUri: `https://login.microsoftonline.com/${TID}/discovery/v2.0/keys`,
    metadata: {
      authorization_endpoint: `https://login.microsoftonline.com/${TID}/oauth2/v2.0/authorize`,
      token_endpoint: `https://login.microsoftonline.com/${TID}/oauth2/v2.0/token`,
      token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
      subject_types_supported: ['pairwise'],
      id_token_signing_alg_values_supported: ['RS256'],
      tenant_region_scope: 'EU',
      cloud_instance_name: 'microsoftonline.com',
    },
    header: { typ: 'JWT' },
    algorithm: 'RS256',
    // No `alg`, but for whose tokens the key is.
    jwk: { use: 'sig', x5t: 'nOo3ZDrODXEK1jKWhXslHR_KXEg', issuer: 'https://login.microsoftonline.com/{tenantid}/v2.0' },
    claims: {
      ...{ ...none, ...times, nbf: START - 60, ver: '2.0', tid: TID, oid: OID, sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ', azp: APP },
      ...{ azpacr: '0', name: 'Alice', preferred_username: 'alice@contoso.example', scp: 'Files.Read Files.Write', uti: 'fqiBqXLPj0eQa82S-IYFAA' },
      ...{ sid: '003f1b0b-6f53-4f0b-9d17-6c9a3b1c6d11', xms_cc: ['CP1'], rh: '0.AXQA' },
    },
    ids: { tenant: [TID], user: [OID], session: ['003f1b0b-6f53-4f0b-9d17-6c9a3b1c6d11'], token: ['fqiBqXLPj0eQa82S-IYFAA'], app: [APP] },
  },
  'Entra v1': {
    issuer: `https://sts.windows.net/${TID}/`,
    audience: 'api://files',
    metadataAt: `https://login.microsoftonline.com/${TID}/.well-known/openid-configuration`,
    metadataUrl: `https://login.microsoftonline.com/${TID}/.well-known/openid-configuration`,
    jwksUri: `https://login.microsoftonline.com/${TID}/discovery/keys`,
    metadata: {
      authorization_endpoint: `https://login.microsoftonline.com/${TID}/oauth2/authorize`,
      token_endpoint: `https://login.microsoftonline.com/${TID}/oauth2/token`,
      id_token_signing_alg_values_supported: ['RS256'],
    },
    header: { typ: 'JWT', x5t: 'nOo3ZDrODXEK1jKWhXslHR_KXEg' },
    algorithm: 'RS256',
    jwk: { use: 'sig', x5t: 'nOo3ZDrODXEK1jKWhXslHR_KXEg' },
    claims: {
      ...{ ...none, ...times, nbf: START - 60, ver: '1.0', tid: TID, oid: OID, sub: 'aUVFT9Q4Og2XI0pRVJAqDQtFQZ4iFzGvMGZgJ9hKqTI', appid: APP },
      ...{ acr: '1', amr: ['pwd', 'mfa'], appidacr: '1', ipaddr: '203.0.113.7', scp: 'user_impersonation', unique_name: 'alice@contoso.example' },
      uti: 'kK0n7jHq30S9o1xPqE8MAA',
    },
    ids: { tenant: [TID], user: [OID], token: ['kK0n7jHq30S9o1xPqE8MAA'], app: [APP] },
  },
  Okta: {
    issuer: 'https://contoso.okta.example/oauth2/default',
    audience: 'api://default',
    metadataAt: 'https://contoso.okta.example/oauth2/default/.well-known/openid-configuration',
    jwksUri: 'https://contoso.okta.example/oauth2/default/v1/keys',
    metadata: {
      authorization_endpoint: 'https://contoso.okta.example/oauth2/default/v1/authorize',
      token_endpoint: 'https://contoso.okta.example/oauth2/default/v1/token',
      introspection_endpoint: 'https://contoso.okta.example/oauth2/default/v1/introspect',
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    },
    // No `typ` at all.
    header: { typ: undefined },
    algorithm: 'RS256',
    jwk: { use: 'sig', alg: 'RS256' },
    claims: {
      ...{
        ...none,
        ...times,
        ver: 1,
        jti: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE',
        cid: '0oab8eb55Kb9jdMIr5d6',
        uid: '00ub8eb5FnkQ2wYq5d6',
      },
      ...{ scp: ['openid', 'files.read'], sub: 'alice@contoso.example', auth_time: START - 300 },
    },
    ids: {
      user: ['00ub8eb5FnkQ2wYq5d6', 'alice@contoso.example'],
      token: ['AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE'],
      app: ['0oab8eb55Kb9jdMIr5d6'],
    },
  },
  Auth0: {
    // With the slash, in the tokens too.
    issuer: 'https://contoso.eu.auth0.example/',
    audience: 'https://files.example/api',
    metadataAt: 'https://contoso.eu.auth0.example/.well-known/openid-configuration',
    jwksUri: 'https://contoso.eu.auth0.example/.well-known/jwks.json',
    metadata: {
      authorization_endpoint: 'https://contoso.eu.auth0.example/authorize',
      token_endpoint: 'https://contoso.eu.auth0.example/oauth/token',
    },
    header: { typ: 'at+jwt' },
    algorithm: 'PS256',
    jwk: { use: 'sig', alg: 'PS256', x5t: 'c3RhbmQtaW4' },
    claims: {
      ...{ ...none, ...times, sub: 'auth0|5f7c8ec7c33c6c004bbafe82', azp: 'my_client_id', scope: 'openid read:files', permissions: ['read:files'] },
      ...{ aud: ['https://files.example/api', 'https://contoso.eu.auth0.example/userinfo'], jti: 'kjR8sVY0mD8Bq1ZQ' },
    },
    ids: { user: ['auth0|5f7c8ec7c33c6c004bbafe82'], token: ['kjR8sVY0mD8Bq1ZQ'], app: ['my_client_id'] },
  },
  Keycloak: {
    issuer: 'https://sso.contoso.example/realms/contoso',
    audience: 'files-api',
    metadataAt: 'https://sso.contoso.example/realms/contoso/.well-known/openid-configuration',
    jwksUri: 'https://sso.contoso.example/realms/contoso/protocol/openid-connect/certs',
    metadata: {
      authorization_endpoint: 'https://sso.contoso.example/realms/contoso/protocol/openid-connect/auth',
      token_endpoint: 'https://sso.contoso.example/realms/contoso/protocol/openid-connect/token',
      token_endpoint_auth_methods_supported: ['private_key_jwt', 'client_secret_basic', 'client_secret_post', 'tls_client_auth'],
    },
    header: { typ: 'JWT' },
    algorithm: 'ES256',
    jwk: { use: 'sig', alg: 'ES256' },
    claims: {
      ...{ ...none, ...times, typ: 'Bearer', jti: 'onrtac:7b6c1f52-3f7b-4a53-9e2a-6a5a2f0f3c55', sub: 'f:9a1f:alice', azp: 'files-spa' },
      ...{ aud: ['files-api', 'account'], sid: '1d2a7c34-9c55-4a0c-a51c-33c5ad3f7a8e', acr: '1', scope: 'openid profile', allowed_origins: ['*'] },
      ...{ realm_access: { roles: ['offline_access'] }, resource_access: { 'files-api': { roles: ['reader'] } } },
    },
    ids: {
      user: ['f:9a1f:alice'],
      session: ['1d2a7c34-9c55-4a0c-a51c-33c5ad3f7a8e'],
      token: ['onrtac:7b6c1f52-3f7b-4a53-9e2a-6a5a2f0f3c55'],
      app: ['files-spa'],
    },
  },
  'an authorization server by RFC 8414': {
    issuer: 'https://as.example/tenants/7',
    audience: 'https://files.example/',
    metadataAt: 'https://as.example/.well-known/oauth-authorization-server/tenants/7',
    jwksUri: 'https://as.example/tenants/7/jwks',
    metadata: { token_endpoint: 'https://as.example/tenants/7/token' },
    header: { typ: 'at+jwt' },
    algorithm: 'EdDSA',
    jwk: {},
    claims: { ...none, ...times, sub: 'u-1', client_id: 'c-1', jti: 't-1', scope: 'files' },
    ids: { user: ['u-1'], token: ['t-1'], app: ['c-1'] },
  },
} as const satisfies Record<string, Provider>

export type ProviderName = keyof typeof PROVIDERS
export const NAMES = Object.keys(PROVIDERS) as ProviderName[]

const KEYS: Record<Provider['algorithm'], KeyPair> = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
}

/** The metadata, keys and tokens of these providers behind one `fetch`; anything else is not found. */
export function createProviders(names: readonly ProviderName[] = NAMES) {
  const asked: string[] = []
  const down = new Set<string>()
  const changed: Partial<Record<ProviderName, Record<string, unknown>>> = {}
  const jwks: Partial<Record<ProviderName, unknown[]>> = {}
  const kidOf = (name: ProviderName) => `${name.replaceAll(' ', '-')}-1`
  const keyOf = (name: ProviderName) => KEYS[PROVIDERS[name].algorithm]
  for (const name of names) jwks[name] = [jwkOf(keyOf(name), kidOf(name), PROVIDERS[name].jwk)]

  const fetch = (async (input: string | URL) => {
    const url = String(input)
    asked.push(url)
    for (const name of names) {
      const { issuer, metadataAt, jwksUri, metadata } = PROVIDERS[name]
      if (url !== metadataAt && url !== jwksUri) continue
      if (down.has(name)) return new Response('down', { status: 502 })
      return Response.json(url === jwksUri ? { keys: jwks[name] } : { issuer, jwks_uri: jwksUri, ...metadata, ...changed[name] })
    }
    return new Response('not found', { status: 404 })
  }) as unknown as typeof globalThis.fetch

  return {
    ...{ asked, down, changed, jwks, fetch, keyOf },
    token(name: ProviderName, claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, key = keyOf(name)) {
      const { issuer, audience, algorithm, ...provider } = PROVIDERS[name]
      const alg = (header.alg as string | undefined) ?? algorithm
      return mint(
        { iss: issuer, aud: audience, ...provider.claims, ...claims },
        { kid: kidOf(name), ...provider.header, ...header, alg },
        key.privateKey,
      )
    },
  }
}

export type Providers = ReturnType<typeof createProviders>

/** What a guard for such a provider is told, if nobody tells of revocations. */
export function optionsOf(name: ProviderName): Pick<GuardOptions, 'issuer' | 'audience' | 'metadataUrl' | 'events'> {
  const { issuer, audience, ...provider } = PROVIDERS[name]
  return { issuer, audience, events: 'none', ...('metadataUrl' in provider ? { metadataUrl: provider.metadataUrl } : {}) }
}

/** A guard for one provider, with hand-moved clocks; ready. */
export async function guardFor(name: ProviderName, providers: Providers, more: Partial<GuardOptions> = {}) {
  const clocks = createClocks()
  const guard = createGuard({ ...optionsOf(name), fetch: providers.fetch, now: clocks.now, monotonic: clocks.monotonic, ...more })
  await guard.ready()
  return { guard, clocks }
}
