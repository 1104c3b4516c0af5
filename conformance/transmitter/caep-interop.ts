import { randomUUID } from 'node:crypto'
import { checkCaepEvent, INTEROP_EVENTS, shortName, VERIFICATION } from '../events.ts'
import { isObject, type Json } from '../http.ts'
import { eventOf } from '../set.ts'
import { createDelivery } from './delivery.ts'
import type { TransmitterModule } from './session.ts'
import { createAndCheck, deleteAndCheck, readAndCheck, readStatus } from './stream-control.ts'

const USE_CASES = 'CAEP Interop section 3'

export const caepInterop: TransmitterModule = {
  name: 'openid-ssf-transmitter-stream-caep-interop',
  async run(session) {
    const { notes, timing, under, access } = session
    const { life } = await access()
    notes.must(life === undefined || life <= 3600, 'CAEP Interop section 2.7.1', `an access token lives ${life} s, more than 60 minutes`)

    const stream = await createAndCheck(session)
    await readAndCheck(session, stream)
    await readStatus(session, stream)
    const delivery = await createDelivery(session, stream)
    const state = randomUUID()
    await session.verify(stream, state)
    const verified = await delivery.wait(timing.verification, ({ claims }) => eventOf(claims, VERIFICATION)?.state === state, { acknowledge: true })
    notes.must(verified !== undefined, 'SSF 1.0 section 8.1.4.1', 'no verification event echoes the state')

    const { events_supported: supported, events_delivered: delivered } = stream.configuration
    const offered = Array.isArray(supported) && INTEROP_EVENTS.some((uri) => supported.includes(uri))
    notes.must(offered, USE_CASES, 'events_supported holds none of the events of the use cases')
    for (const uri of Array.isArray(delivered) ? (delivered as string[]).filter((one) => INTEROP_EVENTS.includes(one)) : []) await expectEvent(uri)
    await deleteAndCheck(session, stream)

    async function expectEvent(uri: string): Promise<void> {
      const name = shortName(uri)
      const trigger = under.trigger[name]
      if (!notes.should(trigger !== undefined, USE_CASES, `events_delivered promises ${name}, and nothing is configured that causes it`)) return
      const before = delivery.arrived.length
      await trigger?.()
      const found = await delivery.wait(timing.event, (one) => delivery.arrived.indexOf(one) >= before && eventOf(one.claims, uri) !== undefined, {
        acknowledge: true,
      })
      if (!notes.must(found !== undefined, USE_CASES, `no ${name} event came within ${timing.event} ms`)) return
      const { claims } = found as { claims: Json }
      checkCaepEvent(notes, uri, (claims.events as Json)[uri], true)
      const subject = claims.sub_id
      const simple = isObject(subject) && (subject.format === 'email' || subject.format === 'iss_sub')
      notes.must(simple, 'CAEP Interop section 2.5', `sub_id of ${name} is neither email nor iss_sub`)
    }
  },
}
