import { describe, expect, it } from 'vitest'
import { eventually } from './loop.ts'
import { createReceiver } from './signals-tenant.ts'
import { signalsWorld } from './signals-world.ts'

const { begin, as, revoke, listen } = signalsWorld()

describe('the proof as an event stream', () => {
  it('tells each change until every receiver has it, and goes on for what clients and APIs do then', async () => {
    const loop = await begin()
    const files = createReceiver(loop)
    const id = await files.create()
    await loop.guard()
    const txn = await revoke()
    const proof = await listen(`/caegis/revocations/${txn}`)
    await eventually(
      () => proof.messages.at(-1)?.data?.receivers,
      (receivers) => receivers?.find((one: any) => one.guard)?.complete === true,
      'the guard',
    )
    expect(proof.state.ended).toBe(false)
    const { sets } = await files.poll(id)
    await files.poll(id, { ack: Object.keys(sets) })
    // Sooner than the next heartbeat: the acknowledgement itself wakes.
    await eventually(
      () => proof.messages.at(-1)?.data.receivers,
      (receivers) => receivers.every((one: any) => one.complete),
      'the other receiver',
    )
    expect(proof.state.ended).toBe(false)
    expect(proof.messages.every(({ event }) => event === 'proof')).toBe(true)
    expect(proof.messages.at(-1)?.data.receivers).toMatchObject([{ complete: true }, { complete: true }])
    const texts = proof.messages.map(({ data }) => JSON.stringify(data))
    expect(new Set(texts).size).toBe(texts.length)
  })

  it('may be read by who reads users or events', async () => {
    await begin()
    const txn = await revoke()
    for (const [who, status] of [
      ['nightly', 200],
      ['auditor', 200],
      ['clerk', 403],
    ] as const)
      expect([who, (await as(who)('GET', `/caegis/revocations/${txn}`)).status]).toEqual([who, status])
    expect((await listen('/caegis/revocations/unknown')).response.status).toBe(404)
    expect((await listen(`/caegis/revocations/${txn}`, { clientId: 'clerk' })).response.status).toBe(403)
  })
})
