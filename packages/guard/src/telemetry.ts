import { type Attributes, type MeterProvider, metrics, type Observable, SpanStatusCode, type TracerProvider, trace } from '@opentelemetry/api'
import { FIGURES, FIRST_SIGHT } from './figures.ts'
import { FIRST_SIGHT_BOUNDS } from './verdict-counts.ts'
import type { Telemetry } from './witness.ts'

export interface TelemetryOptions {
  /** Default: the one that is registered with the API, before this is called. */
  meterProvider?: MeterProvider
  /** Default: the one that is registered with the API. */
  tracerProvider?: TracerProvider
  /** On every metric and span; where one process has several guards, what tells them apart. */
  attributes?: Attributes
}

const NAME = '@caegis/guard'
const SPAN = 'caegis.guard.first_sight'

/**
 * Tells OpenTelemetry what a guard does: give it to `createGuard({ telemetry })`. Metrics are read when they are collected, so that requests pay nothing for them; a span is made
 * for a token at first sight only; a refusal is noted on the span that is active. No attribute holds a token, a secret, or who it is about.
 */
export function createTelemetry({ meterProvider, tracerProvider, attributes = {} }: TelemetryOptions = {}): Telemetry {
  const meter = (meterProvider ?? metrics).getMeter(NAME)
  const tracer = (tracerProvider ?? trace).getTracer(NAME)
  const duration = meter.createHistogram(FIRST_SIGHT.name, {
    ...{ unit: FIRST_SIGHT.unit, description: FIRST_SIGHT.help },
    advice: { explicitBucketBoundaries: [...FIRST_SIGHT_BOUNDS] },
  })

  return {
    watch(status) {
      const figures = FIGURES.map((figure) => {
        const options = { unit: figure.unit, description: figure.help }
        const instrument: Observable =
          figure.kind === 'counter' ? meter.createObservableCounter(figure.name, options) : meter.createObservableGauge(figure.name, options)
        return { read: figure.read, instrument }
      })
      const instruments = figures.map(({ instrument }) => instrument)
      const collect: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
        const now = status()
        for (const { read, instrument } of figures) {
          for (const { labels, value } of read(now)) if (Number.isFinite(value)) result.observe(instrument, value, named(labels))
        }
      }
      meter.addBatchObservableCallback(collect, instruments)
      return () => meter.removeBatchObservableCallback(collect, instruments)
    },
    firstSight(issuer) {
      const labels = named({ issuer })
      const span = tracer.startSpan(SPAN, { attributes: labels })
      return (code, seconds) => {
        duration.record(seconds, labels)
        span.setAttribute('caegis.code', code)
        // What was not judged for want of knowledge is a fault of ours; a refusal is not.
        if (code === 'not_ready' || code === 'out_of_sync' || code === 'dpop_full') span.setStatus({ code: SpanStatusCode.ERROR, message: code })
        span.end()
      }
    },
    denied({ code, txn, head }) {
      trace.getActiveSpan()?.setAttributes({
        'caegis.code': code,
        ...(txn === undefined ? {} : { 'caegis.txn': txn }),
        ...(head === undefined ? {} : { 'caegis.state.epoch': head.epoch, 'caegis.state.seq': head.seq }),
      })
    },
  }

  function named(labels: Readonly<Record<string, string>>): Attributes {
    return { ...attributes, ...Object.fromEntries(Object.entries(labels).map(([name, value]) => [`caegis.${name}`, value])) }
  }
}
