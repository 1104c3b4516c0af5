import { isObject } from '@caegis/protocol'
import { decodeJwt } from 'jose'
import { expect } from 'vitest'
import type { Answer, StreamRecord } from '../src/transmitter/index.ts'
import { callerOf, ISSUER, type Loop } from './loop.ts'

export const caller = callerOf()
export const never = () => new AbortController().signal
export const GUARD = { caegis: { subjects: 'complex', alg: 'ES256', guard: true } }
export const COMPLEX = { caegis: { subjects: 'complex' } }
export const PUSH = { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://files.test/in', authorization_header: 'Bearer hush-hush' }
export const POLL = 'urn:ietf:rfc:8936'

export type Body = Record<string, unknown>

export async function make(loop: Loop, body: Body = {}): Promise<Body & { stream_id: string }> {
  const answer = await loop.transmitter.create(caller, body)
  expect(answer.status).toBe(201)
  return answer.body as Body & { stream_id: string }
}

export interface Polled {
  sets: Record<string, string>
  caegis_head: { seq: number; status: string }
}

export async function poll(loop: Loop, id: string, body: Body = {}): Promise<Polled> {
  const answer = await loop.transmitter.poll(caller, id, { returnImmediately: true, ...body }, never())
  expect(answer.status).toBe(200)
  return answer.body as Polled
}

export const errorOf = (answer: Answer) => [answer.status, isObject(answer.body) ? answer.body.error : undefined]
export const claimsOf = (polled: Polled) => Object.values(polled.sets).map((jwt) => decodeJwt(jwt) as Body & { events: Record<string, Body> })
export const users = (polled: Polled) => claimsOf(polled).map((claims) => (claims.sub_id as { sub?: string }).sub)
export const userOf = (user: string) => ({ format: 'iss_sub', iss: ISSUER, sub: user })
export const record = (loop: Loop, id: string) => loop.store.streams().find((stream) => stream.id === id) as StreamRecord
