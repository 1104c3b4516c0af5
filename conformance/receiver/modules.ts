import type { Config, ReceiverUnderTest, Step } from '../config.ts'
import { CAEP, INTEROP_EVENTS, RISC, samplePayload, shortName, VERIFICATION } from '../events.ts'
import { type Notes, type Result, runNoted } from '../notes.ts'
import { type Emulation, type Operation, startEmulation } from './emulation.ts'

export interface ReceiverModule {
  name: string
  run(session: ReceiverSession): Promise<void>
}

/** What one module sees of the receiver under test. */
export interface ReceiverSession {
  notes: Notes
  emulation: Emulation
  /** Has the receiver take a step, and waits until it did. One that it cannot take is a failure; one that it does not take ends the module. */
  step(step: Step): Promise<void>
  /** The event must be accepted. */
  accepted(what: string, sent: Promise<boolean>): Promise<void>
}

/** What a step leads to, and where that is written. */
const STEPS: Partial<Record<Step, [Operation, string]>> = {
  start: ['create', 'SSF 1.0 section 8.1.1.1'],
  read: ['read', 'SSF 1.0 section 8.1.1.2'],
  update: ['update', 'SSF 1.0 section 8.1.1.3'],
  replace: ['replace', 'SSF 1.0 section 8.1.1.4'],
  'read-status': ['read-status', 'SSF 1.0 section 8.1.2.1'],
  'update-status': ['update-status', 'SSF 1.0 section 8.1.2.2'],
  verify: ['verify', 'SSF 1.0 section 8.1.4.2'],
  delete: ['delete', 'SSF 1.0 section 8.1.1.5'],
}

/** Runs one module against the receiver, and stops it behind. */
export function runReceiverModule(module: ReceiverModule, config: Config, plan: string): Promise<Result> {
  const under = config.receiver as ReceiverUnderTest
  return runNoted(module.name, async (notes) => {
    const emulation = await startEmulation(notes, config, under)
    const drive = (step: Step) => under.drive(step, { issuer: emulation.issuer, mode: config.mode, plan })
    const session: ReceiverSession = {
      ...{ notes, emulation },
      async step(step) {
        const [operation, spec] = STEPS[step] as [Operation, string]
        // What the receiver has done by itself need not be asked for.
        if (await emulation.did(operation, 0)) return
        if (!(await drive(step).catch(() => false))) {
          const text = `the receiver cannot take the step: ${step}`
          if (step === 'start') return notes.stop(spec, text)
          notes.must(false, spec, text)
          return
        }
        if (!(await emulation.did(operation))) return notes.stop(spec, `the receiver does not take the step: ${step}`)
      },
      async accepted(what, sent) {
        notes.must(await sent, config.mode === 'push' ? 'RFC 8935 section 2.2' : 'RFC 8936 section 2.4', `${what} is not accepted`)
      },
    }
    try {
      await module.run(session)
    } finally {
      await drive('stop').catch(() => {})
      await emulation.close()
    }
  })
}

const named = (what: string, run: ReceiverModule['run']): ReceiverModule => ({ name: `openid-ssf-receiver-${what}`, run })

async function verify({ step, accepted, emulation, notes }: ReceiverSession): Promise<void> {
  await step('verify')
  const [sent] = emulation.verified
  if (!sent) return notes.stop('SSF 1.0 section 8.1.4.2', 'no verification was asked for')
  await accepted('the verification event', sent)
}

async function sendAll({ emulation, accepted }: ReceiverSession, wanted: (uri: string) => boolean): Promise<number> {
  const delivered = emulation.stream()?.configuration.events_delivered as string[] | undefined
  const events = (delivered ?? []).filter(wanted)
  for (const uri of events) await accepted(shortName(uri), emulation.send(uri, samplePayload(uri)))
  return events.length
}

export const happyPath = named('happypath', async ({ step }) => {
  for (const one of ['start', 'read', 'update', 'replace', 'delete'] as const) await step(one)
})

export const createDelete = named('stream-create-delete', async ({ step }) => {
  await step('start')
  await step('delete')
})

export const statusUpdate = named('stream-status-update', async ({ step, accepted, emulation }) => {
  await step('start')
  // A receiver that wants events has a reason now; one that is driven by hand does it anyway.
  await accepted('the stream-updated event', emulation.pause())
  await step('update-status')
  await step('delete')
})

export const verification = named('stream-verification', async (session) => {
  await session.step('start')
  await verify(session)
  await session.step('delete')
})

export const unsolicitedVerification = named('unsolicited-stream-verification', async ({ step, accepted, emulation }) => {
  await step('start')
  await accepted('a verification event without state', emulation.send(VERIFICATION, {}, 'stream'))
  await step('delete')
})

export const supportedEvents = named('stream-supported-events', async (session) => {
  await session.step('start')
  await verify(session)
  const count = await sendAll(session, (uri) => uri.startsWith(CAEP) || uri.startsWith(RISC))
  session.notes.must(count > 0, 'SSF 1.0 section 8.1.1', 'the receiver requests no event of CAEP or RISC')
  await session.step('delete')
})

export const caepInterop = named('stream-caep-interop', async (session) => {
  const { step, notes } = session
  await step('start')
  await step('read')
  await step('read-status')
  await verify(session)
  const count = await sendAll(session, (uri) => INTEROP_EVENTS.includes(uri))
  notes.must(count > 0, 'CAEP Interop section 3', 'the receiver requests none of the events of the use cases')
  await step('delete')
})
