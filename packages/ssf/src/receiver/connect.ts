import type { Log } from '../log.ts'
import { discover, type TransmitterMetadata } from './discover.ts'
import { createStreamApi, type StreamApi, type TokenSource } from './stream-api.ts'
import { createJwsVerifier, type JwsVerifier } from './verify-jws.ts'

/** A transmitter that was discovered: what it says of itself, its keys and its management API. */
export interface Connection {
  metadata: TransmitterMetadata
  jws: JwsVerifier
  api: StreamApi
}

export interface ConnectSettings {
  issuer: string
  token: TokenSource
  fetch: typeof globalThis.fetch
  now: () => number
  log: Log
  insecure: boolean
  maxAnswer: number
  /** Milliseconds. */
  timing: { timeout: number; refetchKeys: number }
}

/** Discovers the transmitter anew at each call. Its keys are kept from one connection to the next: they have one budget for as long as the receiver lives. */
export function createConnector(settings: ConnectSettings, signal: AbortSignal): () => Promise<Connection> {
  const { issuer, token, fetch, now, insecure, maxAnswer, timing } = settings
  let known: { jwksUri: string; jws: JwsVerifier } | undefined
  return async () => {
    const metadata = await discover({ issuer, fetch, insecure, timeout: timing.timeout, signal })
    const { jwksUri } = metadata
    if (known?.jwksUri !== jwksUri) {
      const past = metadata.snapshotEndpoint !== undefined
      known = { jwksUri, jws: createJwsVerifier({ jwksUri, fetch, now, past, timeout: timing.timeout, refetchAfter: timing.refetchKeys }) }
    }
    return { metadata, jws: known.jws, api: createStreamApi(metadata, { fetch, token, timeout: timing.timeout, maxAnswer, signal }) }
  }
}
