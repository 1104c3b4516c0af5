import fc from 'fast-check'
import { expect, it } from 'vitest'
import { COMMANDS, follow, transit } from './delivery-commands.ts'
import { covers, createModel, cutoffsOf, describe as describeEvent, expectParty, type Model, observe } from './delivery-model.ts'
import { createWorld, type World } from './delivery-world.ts'

const RUNS = Number(process.env.CAEGIS_RUNS ?? 60)

/** Everything works at last: whatever is due must come. */
async function heal(model: Model, world: World): Promise<void> {
  world.calm()
  while (world.release(0)) await world.settle()
  await world.settle()
  for (let i = 0; i < 30; i++) {
    follow(model, world)
    for (const party of world.parties) {
      const stream = world.stream(party)
      const expected = model.expectations.get(party)
      if (!stream || stream.status === 'enabled') continue
      if (expected) transit(model, world, expected, 'enabled', 'host')
      await world.change(() => world.transmitter.setStatus(stream.id, 'enabled'))
    }
    await world.time.advance(30_000)
    await world.settle()
    if (model.violations.length > 0 || (await missing(model, world)).length === 0) return
  }
}

/** What of the model's demands does not hold (yet). */
async function missing(model: Model, world: World): Promise<string[]> {
  const wrong = [...model.violations]
  const head = await world.store.head()
  for (const { party, due, applied, again, news, heard } of model.expectations.values()) {
    const stream = world.stream(party)
    if (!stream) {
      wrong.push(`${party.name}: no stream`)
      continue
    }
    const dead = new Map((await world.store.listDeadLetters(stream.id)).map((letter) => [letter.id, letter.reason]))
    for (const id of due) {
      if (!applied.includes(id) && !dead.get(id)) wrong.push(`${party.name}: lost: ${describeEvent(model, id)}`)
    }
    for (const [id, reason] of party.kind === 'push' ? dead : []) {
      if (!reason.startsWith('gave up') && !again.has(id) && applied.includes(id))
        wrong.push(`${party.name}: ${reason}, and acted on all the same: ${describeEvent(model, id)}`)
    }
    if (news !== undefined && heard !== news) wrong.push(`${party.name}: heard of ${heard}, not of ${news}`)
    if (stream.acked !== head.seq || stream.ackedAhead.length > 0) wrong.push(`${party.name}: its cursor is at ${stream.acked} of ${head.seq}`)
    if ((await world.store.listControls(stream.id)).length > 0) wrong.push(`${party.name}: events about the stream are left`)
    if (party.receiver?.status().state !== 'running' || party.receiver.status().waiting > 0)
      wrong.push(`${party.name}: ${JSON.stringify(party.receiver?.status())}`)
  }
  const truth = cutoffsOf(model.log)
  // Those of lost rows may be known: what was merged is never taken back.
  const most = cutoffsOf([...model.log, ...model.lost])
  for (const { name, guard } of model.guards) {
    const { state } = guard?.follower.status() ?? {}
    if (!guard || state !== 'following' || guard.heads.at(-1)?.seq !== head.seq)
      wrong.push(`${name}: ${state} at ${guard?.heads.at(-1)?.seq} of ${head.seq}`)
    else if (!covers(guard.table, truth)) wrong.push(`${name}: lacks cutoffs`)
    else if (!covers(most, guard.table)) wrong.push(`${name}: has cutoffs that nobody committed`)
  }
  return wrong
}

it(
  'I1, I3, I4, B5, B6, B7: whatever breaks, every receiver gets what is due, in order, and no guard is called synced before',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(COMMANDS, { maxCommands: 40, size: 'max' }), async (commands) => {
        const model = createModel()
        const world = createWorld(observe(model))
        model.epoch = (await world.store.head()).epoch
        try {
          for (const kind of ['push', 'poll', 'guard'] as const) expectParty(model, world.add(kind))
          await world.settle()
          await fc.asyncModelRun(() => ({ model, real: { world } }), commands)
          await heal(model, world)
          expect(await missing(model, world)).toEqual([])
        } finally {
          await world.end()
        }
      }),
      { numRuns: RUNS },
    )
  },
  RUNS > 100 ? 0 : 60_000,
)
