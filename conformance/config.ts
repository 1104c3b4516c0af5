import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { isObject, type Json, send, within } from './http.ts'

export type Mode = 'push' | 'poll'
export type Profile = 'default' | 'caep_interop'

/** Milliseconds. */
export interface Timing {
  /** Each HTTP exchange. */
  request: number
  /** From the request for a verification to its event. */
  verification: number
  /** From a trigger to its event. */
  event: number
  /** Between two looks. */
  every: number
  /** Until a receiver has taken the next step. */
  step: number
  /** By how much the clock of the other side may be ahead. */
  skew: number
}

/** Where the suite listens with TLS: for pushes, and for receivers under test. */
export interface Listen {
  cert: string
  key: string
  host: string
  /** 0 for any that is free. */
  port: number
  /** The origin as the other side sees it, when it is not `https://localhost` with the port. */
  origin?: string
}

export interface TransmitterUnderTest {
  issuer: string
  /** The path behind the well-known name, when it is not that of the issuer. */
  suffix?: string
  /** The well-known name of RISC drafts. */
  legacy?: boolean
  credentials: { accessToken: string } | { clientId: string; clientSecret: string; tokenEndpoint?: string; scope?: string; post?: boolean }
  /** What `aud` must hold. */
  audience?: string
  /** A subject that may be added and removed. */
  subject?: Json
  /** Causes an event, by its short name. */
  trigger: Record<string, (() => Promise<void>) | undefined>
}

export type Step = 'start' | 'read' | 'update' | 'replace' | 'read-status' | 'update-status' | 'verify' | 'delete' | 'stop'

/** Makes a receiver take a step; `false` when it is not able to. The last step is always `stop`. */
export type Drive = (step: Step, transmitter: { issuer: string; mode: Mode; plan: string }) => Promise<boolean>

export interface ReceiverUnderTest {
  /** What the emulated transmitter takes: one token, or a client of its own token endpoint. */
  credentials: { accessToken: string } | { clientId: string; clientSecret: string }
  audience: string
  /** Of the events that are sent. */
  subject: Json
  drive: Drive
}

export interface Config {
  profile: Profile
  mode: Mode
  timing: Timing
  listen?: Listen
  transmitter?: TransmitterUnderTest
  receiver?: ReceiverUnderTest
}

export const TIMING: Timing = { request: 10_000, verification: 10_000, event: 60_000, every: 500, step: 60_000, skew: 0 }

/** A configuration file that cannot be used; the message says which member. */
export class Misconfigured extends Error {}

/** Reads a configuration file: JSON, in which a trigger is a command or a request. */
export function readConfig(file: string): Config & { ca?: string } {
  let raw: unknown
  try {
    raw = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    throw new Misconfigured(`${file} cannot be read as JSON`)
  }
  const root = object(raw, 'the file')
  const timing = { ...TIMING }
  for (const [name, value] of Object.entries(object(root.timing ?? {}, 'timing'))) {
    if (!(name in TIMING) || typeof value !== 'number' || !(value >= 0)) throw new Misconfigured(`timing.${name}`)
    timing[name as keyof Timing] = value
  }
  const { profile = 'default', mode = 'poll', ca } = root
  if (profile !== 'default' && profile !== 'caep_interop') throw new Misconfigured('profile')
  if (mode !== 'push' && mode !== 'poll') throw new Misconfigured('mode')
  const config: Config & { ca?: string } = { profile, mode, timing }
  if (ca !== undefined) config.ca = content(ca, 'ca')
  if (root.listen !== undefined) {
    const { cert, key, host = 'localhost', port = 0, origin } = object(root.listen, 'listen')
    config.listen = {
      ...{ cert: content(cert, 'listen.cert'), key: content(key, 'listen.key'), host: text(host, 'listen.host'), port: Number(port) },
      ...(origin === undefined ? {} : { origin: text(origin, 'listen.origin') }),
    }
  }
  if (root.transmitter !== undefined) config.transmitter = readTransmitter(object(root.transmitter, 'transmitter'), timing)
  if (root.receiver !== undefined) config.receiver = readReceiver(object(root.receiver, 'receiver'))
  return config
}

function readTransmitter(given: Json, timing: Timing): TransmitterUnderTest {
  const { issuer, suffix, legacy, credentials, audience, subject, trigger = {} } = given
  const one = object(credentials, 'transmitter.credentials')
  const known = new Set(['accessToken', 'clientId', 'clientSecret', 'tokenEndpoint', 'scope', 'post'])
  for (const name of Object.keys(one)) if (!known.has(name)) throw new Misconfigured(`transmitter.credentials.${name}`)
  if (one.accessToken === undefined) for (const name of ['clientId', 'clientSecret']) text(one[name], `transmitter.credentials.${name}`)
  return {
    issuer: text(issuer, 'transmitter.issuer'),
    credentials: one as unknown as TransmitterUnderTest['credentials'],
    trigger: Object.fromEntries(
      Object.entries(object(trigger, 'transmitter.trigger')).map(([event, how]) => [event, readTrigger(object(how, `trigger.${event}`), timing)]),
    ),
    ...(suffix === undefined ? {} : { suffix: text(suffix, 'transmitter.suffix') }),
    ...(legacy === true ? { legacy } : {}),
    ...(audience === undefined ? {} : { audience: text(audience, 'transmitter.audience') }),
    ...(subject === undefined ? {} : { subject: object(subject, 'transmitter.subject') }),
  }
}

function readTrigger({ command, request }: Json, timing: Timing): () => Promise<void> {
  if (command !== undefined) {
    const words = list(command, 'trigger.command')
    return async () => {
      const code = await run(words, {})
      if (code !== 0) throw new Misconfigured(`the trigger ended with code ${code}`)
    }
  }
  const { url, method = 'POST', headers = {}, body } = object(request, 'trigger: a command or a request')
  return async () => {
    const { status } = await send(text(url, 'trigger.url'), {
      ...{ method: text(method, 'trigger.method'), headers: headers as Record<string, string>, timeout: timing.request },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    if (status >= 300) throw new Misconfigured(`the trigger was answered ${status}`)
  }
}

function readReceiver({ credentials, audience, subject, command }: Json): ReceiverUnderTest {
  const words = command === undefined ? undefined : list(command, 'receiver.command')
  return {
    credentials: object(credentials, 'receiver.credentials') as unknown as ReceiverUnderTest['credentials'],
    audience: text(audience, 'receiver.audience'),
    subject: object(subject, 'receiver.subject'),
    async drive(step, { issuer, mode, plan }) {
      if (!words) {
        // Somebody at the keyboard does it.
        if (step !== 'stop') process.stderr.write(`        waiting for the receiver: ${step} (transmitter ${issuer}, ${mode})\n`)
        return true
      }
      const code = await run(words, { CONFORMANCE_STEP: step, CONFORMANCE_ISSUER: issuer, CONFORMANCE_MODE: mode, CONFORMANCE_PLAN: plan })
      return code === 0
    },
  }
}

/** Milliseconds. */
const MAX_RUN = 120_000

/** @returns the exit code */
async function run([program = '', ...words]: string[], environment: Record<string, string>): Promise<number> {
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...environment } })
  const ended = new Promise<number>((resolve) => {
    child.once('error', () => resolve(127))
    child.once('exit', (code) => resolve(code ?? 1))
  })
  const code = await within(MAX_RUN, ended, 124)
  if (code === 124) child.kill()
  return code
}

function object(value: unknown, name: string): Json {
  if (!isObject(value)) throw new Misconfigured(`${name} must be an object`)
  return value
}

function text(value: unknown, name: string): string {
  if (typeof value !== 'string' || value === '') throw new Misconfigured(`${name} must be a text`)
  return value
}

function list(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || value.length === 0 || !value.every((one) => typeof one === 'string')) throw new Misconfigured(`${name} must be a list`)
  return value
}

function content(value: unknown, name: string): string {
  try {
    return readFileSync(text(value, name), 'utf8')
  } catch (error) {
    if (error instanceof Misconfigured) throw error
    throw new Misconfigured(`${name} cannot be read`)
  }
}
