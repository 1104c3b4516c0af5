import type { Generated } from 'kysely'

/** How far the changes of an LDAP directory have been read. */
export interface LdapSourceRow {
  tenant: string
  source: string
  /** JSON. */
  state: string
}

/** Somebody who came from an LDAP directory. */
export interface LdapEntryRow {
  tenant: string
  source: string
  external_id: string
  user_id: string
  /** What says that the password is another one: a time, or a keyed digest of a hash. */
  password: string | null
  /** 1 = disabled because the directory said so, and by nobody else: it may say otherwise again. */
  held: number
}

/** Another transmitter whose events are taken. */
export interface UpstreamRow {
  tenant: string
  id: string
  issuer: string
  /** JSON: whom it may speak about, and what its events cause. */
  config: string
  /** What this server proves itself with there, and what pushes from there carry. */
  sealed: Uint8Array
  enabled: number
  created_at: number
  /** JSON: its stream, and how often that was lost. */
  state: string
}

/** A SET of an upstream: acted on, or (with its event as JSON) accepted and waiting for that. */
export interface UpstreamSetRow {
  tenant: string
  upstream: string
  iss: string
  jti: string
  /** Seconds, with a fraction. */
  at: number
  event: string | null
}

/** What a cause that began elsewhere has done here: each effect on each user once. */
export interface UpstreamActRow {
  tenant: string
  txn: string
  type: string
  user_id: string
  upstream: string
  at: number
  /** How much it did: see `DEPTHS` in upstream/act.ts. */
  depth: Generated<number>
}

/** An upstream that keeps a user disabled. Who is disabled without one was disabled here. */
export interface UpstreamHoldRow {
  tenant: string
  user_id: string
  upstream: string
}

/** What became of the events of an upstream, counted. */
export interface UpstreamOutcomeRow {
  tenant: string
  upstream: string
  outcome: string
  type: string
  count: number
  /** Second of the last one, and whom it was about (JSON). */
  at: number
  subject: string
}
