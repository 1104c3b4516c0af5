import { randomUUID } from 'node:crypto'
import { VERIFICATION } from '../events.ts'
import { pause } from '../http.ts'
import { eventOf } from '../set.ts'
import { type Arrived, createDelivery, type Delivery } from './delivery.ts'
import type { Session, Stream, TransmitterModule } from './session.ts'

const SPEC = 'SSF 1.0 section 8.1.4.1'

const named = (what: string, mode: 'push' | 'poll', run: TransmitterModule['run']): TransmitterModule => ({
  ...{ name: `openid-ssf-transmitter-stream-verification-${what}`, mode, run },
})

/** A verification event with this state; one that the transmitter sends on its own account has none. */
function echoes(state: string): (one: Arrived) => boolean {
  return ({ claims }) => eventOf(claims, VERIFICATION)?.state === state
}

/** Asks for a verification and waits for its event. */
async function verifyOnce({ notes, timing, verify }: Session, stream: Stream, { wait, arrived }: Delivery): Promise<Arrived> {
  const state = randomUUID()
  await verify(stream, state)
  const found = await wait(timing.verification, echoes(state))
  if (found) return found
  const other = arrived.some(({ claims }) => eventOf(claims, VERIFICATION))
  return notes.stop(SPEC, other ? 'no verification event echoes the state' : `no verification event came within ${timing.verification} ms`)
}

export const verificationPush = named('push', 'push', async (session) => {
  const { notes, create, endpoint } = session
  const stream = await create()
  const delivery = await createDelivery(session, stream)
  // Whatever was pushed before anything was asked for cannot echo a state.
  await delivery.wait(0, () => false)
  const early = delivery.arrived.some(({ claims }) => eventOf(claims, VERIFICATION)?.state !== undefined)
  notes.must(!early, SPEC, 'a verification event that nobody asked for has a state')
  await verifyOnce(session, stream, delivery)
  notes.must((await endpoint()).pushed.length > 0, 'RFC 8935 section 2.1', 'nothing was pushed')
})

export const verificationPushNoAuth = named('error-push-no-auth', 'push', async (session) => {
  const body = await session.body()
  const { authorization_header: _, ...delivery } = body.delivery
  const stream = await session.create({ ...body, delivery })
  await verifyOnce(session, stream, await createDelivery(session, stream, { authorized: false }))
})

export const verificationPollOnly = named('poll-only', 'poll', async (session) => {
  const stream = await session.create()
  await verifyOnce(session, stream, await createDelivery(session, stream))
})

export const verificationPollAndAck = named('poll-and-ack', 'poll', async (session) => {
  const { notes, timing, create, verify } = session
  const stream = await create()
  const delivery = await createDelivery(session, stream)
  const first = await verifyOnce(session, stream, delivery)
  const state = randomUUID()
  await verify(stream, state)
  const acknowledged = [first.jti]
  let batch: Arrived[] = []
  for (const end = Date.now() + timing.verification; ; await pause(timing.every)) {
    batch = await delivery.poll({ ack: acknowledged })
    const again = batch.some(({ jti }) => acknowledged.includes(jti))
    notes.should(!again, 'RFC 8936 section 2.4', 'a SET comes again in the answer to the poll that acknowledges it')
    if (batch.some(echoes(state))) return
    if (Date.now() > end) return notes.stop(SPEC, 'the verification event does not come in the answer to a poll that acknowledges another')
  }
})

export const verificationAckOnly = named('ack-only', 'poll', async (session) => {
  const { notes, timing, create, verify } = session
  const stream = await create()
  const delivery = await createDelivery(session, stream)
  const { jti } = await verifyOnce(session, stream, delivery)
  // Something else is waiting, and must go on waiting.
  const state = randomUUID()
  await verify(stream, state)
  const answered = await delivery.poll({ maxEvents: 0, ack: [jti] })
  notes.must(answered.length === 0, 'RFC 8936 section 2.4.2', 'a poll that only acknowledges is answered with SETs')
  const before = delivery.arrived.length
  const waited = await delivery.wait(timing.verification, echoes(state))
  notes.must(waited !== undefined, SPEC, 'a verification event does not come after a poll that only acknowledged another')
  const again = delivery.arrived.slice(before).some((one) => one.jti === jti)
  notes.should(!again, 'RFC 8936 section 2.4', 'a SET that was acknowledged comes again')
})
