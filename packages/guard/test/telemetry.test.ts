import { context, trace } from '@opentelemetry/api'
import { type DataPoint, DataPointType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, StackContextManager, TracerProvider } from '@opentelemetry/sdk-trace'
import { afterEach, describe, expect, it } from 'vitest'
import { FIGURES, FIRST_SIGHT } from '../src/figures.ts'
import type { GuardStatus } from '../src/status.ts'
import { createTelemetry } from '../src/telemetry.ts'
import { cutoff, ISSUER, mint, otherEc, request, START, startGuard } from './tokens.ts'

class Reader extends MetricReader {
  protected async onForceFlush() {}
  protected async onShutdown() {}
}

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

function start(options: Parameters<typeof startGuard>[0] = {}) {
  const reader = new Reader()
  const meterProvider = new MeterProvider({ readers: [reader] })
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const started = startGuard({ telemetry: createTelemetry({ meterProvider, tracerProvider, attributes: { api: 'files' } }), ...options })
  ends.push(() => meterProvider.shutdown())
  const collect = async () => {
    const { resourceMetrics, errors } = await reader.collect()
    expect(errors).toEqual([])
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
  }
  const read = async (name: string, labels: object = {}) => {
    const points: readonly DataPoint<unknown>[] = (await collect()).find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
    const wanted = { api: 'files', ...labels }
    return points.find(({ attributes }) => Object.entries(wanted).every(([key, value]) => attributes[key] === value))?.value
  }
  return { ...started, collect, read, tracer: tracerProvider.getTracer('test'), spans: () => exporter.getFinishedSpans() }
}

const of = { 'caegis.issuer': ISSUER }

describe('telemetry by OpenTelemetry', () => {
  it('every figure arrives, with its unit and kind', async () => {
    const { collect, check, read, sink } = start({ decisionLog: { write() {} } })
    check(mint())
    check(mint({ aud: 'other' }))
    sink.merge([cutoff('user', 'bob', START)])
    sink.count('unmappable', 'why')
    const metrics = await collect()
    const found = metrics.map(({ descriptor: { name, unit }, dataPointType }) => [name, unit, dataPointType])
    const kinds = { counter: DataPointType.SUM, gauge: DataPointType.GAUGE }
    // The guard of this test is handed its keys.
    const known = FIGURES.filter(({ name }) => name !== 'caegis.guard.key_fetches').map(({ name, unit, kind }) => [name, unit, kinds[kind]])
    expect(found.sort()).toEqual([...known, [FIRST_SIGHT.name, 's', DataPointType.HISTOGRAM]].sort())
    expect(await read('caegis.guard.verdicts', { ...of, 'caegis.code': 'allowed' })).toBe(1)
    expect(await read('caegis.guard.verdicts', { ...of, 'caegis.code': 'token_audience' })).toBe(1)
    expect(await read('caegis.guard.events', { ...of, 'caegis.outcome': 'unmappable' })).toBe(1)
    expect(await read('caegis.guard.cutoffs', of)).toBe(1)
    expect(await read('caegis.guard.in_sync', of)).toBe(1)
    expect(await read(FIRST_SIGHT.name, of)).toMatchObject({ count: 2 })
    sink.outOfSync('x')
    expect(await read('caegis.guard.in_sync', of)).toBe(0)
  })

  it('a span for a token at first sight, and none for one that was seen before', async () => {
    const { check, spans, read } = start()
    const token = mint()
    for (let i = 0; i < 5; i++) expect(check(token).allowed).toBe(true)
    check(mint({}, {}, otherEc.privateKey))
    expect(spans().map(({ name, attributes }) => [name, attributes])).toEqual([
      ['caegis.guard.first_sight', { api: 'files', ...of, 'caegis.code': 'allowed' }],
      ['caegis.guard.first_sight', { api: 'files', ...of, 'caegis.code': 'token_signature' }],
    ])
    expect(await read(FIRST_SIGHT.name, of)).toMatchObject({ count: 2 })
    expect(await read('caegis.guard.verdicts', { ...of, 'caegis.code': 'allowed' })).toBe(5)
  })

  it('a refusal is noted on the active span, with the change behind it; what is allowed is not', () => {
    context.setGlobalContextManager(new StackContextManager().enable())
    ends.push(() => context.disable())
    const { check, sink, tracer, spans } = start()
    const token = mint()
    const during = (name: string, act: () => unknown) => {
      const span = tracer.startSpan(name)
      context.with(trace.setSpan(context.active(), span), act)
      span.end()
      return spans().find((one) => one.name === name)?.attributes
    }
    expect(during('good', () => check(token))).toEqual({})
    sink.merge([cutoff('user', 'alice', START)], 7, 'txn-7')
    expect(during('bad', () => check(token))).toEqual({
      ...{ 'caegis.code': 'revoked', 'caegis.txn': 'txn-7', 'caegis.state.epoch': 'e1', 'caegis.state.seq': 0 },
    })
    expect(JSON.stringify(spans().map(({ attributes }) => attributes))).not.toMatch(/alice|s-1|j-1/)
  })

  it('a closed guard is not asked any more', async () => {
    const reader = new Reader()
    const { watch, ...rest } = createTelemetry({ meterProvider: new MeterProvider({ readers: [reader] }) })
    let reads = 0
    const counted = (status: () => GuardStatus) => () => {
      reads++
      return status()
    }
    const { guard } = startGuard({ telemetry: { ...rest, watch: (status) => watch(counted(status)) } })
    await reader.collect()
    expect(reads).toBe(1)
    await guard.close()
    await reader.collect()
    expect(reads).toBe(1)
  })

  it('what goes wrong there reaches no request', async () => {
    const fail = () => {
      throw new Error('no')
    }
    const telemetry = { watch: () => () => {}, firstSight: fail, denied: fail }
    const { guard, check } = startGuard({ telemetry })
    expect(check(mint()).allowed).toBe(true)
    expect(check('x')).toMatchObject({ code: 'token_malformed' })
    const late = startGuard({ telemetry: { ...telemetry, firstSight: () => fail } })
    expect(late.check(mint()).allowed).toBe(true)
    expect(guard.status().verdicts).toMatchObject({ allowed: 1, token_malformed: 1 })
    expect(await guard.check(request('y'))).toMatchObject({ allowed: false })
  })
})
