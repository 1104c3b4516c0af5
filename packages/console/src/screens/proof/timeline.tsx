import { Anchor, Box, Group, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { Icon, type IconName } from '../../parts/icon.tsx'
import type { Tone } from '../../parts/status.tsx'
import { formatDuration } from '../../parts/when.tsx'
import { t } from '../../texts/texts.ts'
import type { Scale } from './scale.ts'
import css from './timeline.module.css'

export type Look = 'committed' | 'arrived' | 'dead' | 'refused' | 'signedIn' | 'blocked' | 'interrupted'

export interface Mark {
  at: number
  look: Look
}

/** Dark enough for what is drawn on them, in both themes. */
const LOOKS: Record<Look, { icon: IconName; color: string }> = {
  committed: { icon: 'bolt', color: 'var(--mantine-color-gray-7)' },
  arrived: { icon: 'check', color: 'var(--mantine-color-green-8)' },
  dead: { icon: 'cross', color: 'var(--mantine-color-red-8)' },
  refused: { icon: 'stop', color: 'var(--mantine-color-grape-7)' },
  signedIn: { icon: 'signIn', color: 'var(--mantine-color-blue-7)' },
  blocked: { icon: 'cross', color: 'var(--mantine-color-red-8)' },
  interrupted: { icon: 'question', color: 'var(--mantine-color-orange-8)' },
}

/** Percent of the axis. */
const CLOSE = 3
const CROWDED = 5
const DAY = 86_400_000

const TONES: Record<Tone, { color: string; icon?: IconName }> = {
  good: { color: 'inherit' },
  bad: { color: 'var(--mantine-color-error)', icon: 'warning' },
  warn: { color: 'inherit', icon: 'clock' },
  info: { color: 'inherit' },
  quiet: { color: 'dimmed' },
}

export interface LaneProps {
  scale: Scale
  name: string
  href?: string | undefined
  /** What it is: small, below the name. */
  detail?: string | undefined
  tone: Tone
  /** Everything that the drawing says, and why. */
  text: ReactNode
  marks: Mark[]
  /** Was on its way; without an end, it still is. */
  bar?: { from: number; to?: number | undefined }
  half?: number | undefined
  /** Below it, over the whole width. */
  children?: ReactNode
}

/** A line of the picture: who, when, and in words what the drawing shows. */
export function Lane({ scale, name, href, detail, tone, text, marks, bar, half, children }: LaneProps) {
  const { color, icon } = TONES[tone]
  return (
    <li className={css.lane}>
      <div style={{ minWidth: 0 }}>
        {href ? (
          <Anchor component={Link} href={href} fw={600} size="sm" style={{ overflowWrap: 'anywhere' }}>
            {name}
          </Anchor>
        ) : (
          <Text fw={600} size="sm" style={{ overflowWrap: 'anywhere' }}>
            {name}
          </Text>
        )}
        {detail && (
          <Text size="xs" c="dimmed">
            {detail}
          </Text>
        )}
      </div>
      <div className={css.track} aria-hidden="true">
        {scale.ticks.map((tick) => (
          <div key={tick} className={css.grid} style={{ left: `${scale.at(tick)}%` }} />
        ))}
        {bar &&
          (bar.to === undefined ? (
            <div className={css.waiting} style={{ left: `${scale.at(bar.from)}%`, right: 0 }} />
          ) : (
            <div
              className={css.bar}
              style={{
                left: `${scale.at(bar.from)}%`,
                width: `${Math.max(0, scale.at(bar.to) - scale.at(bar.from))}%`,
                background: tone === 'bad' ? LOOKS.dead.color : LOOKS.arrived.color,
              }}
            />
          ))}
        {half !== undefined && <div className={css.half} style={{ left: `${scale.at(half)}%` }} />}
        {marks.map(({ at, look }, index) => (
          <div
            key={look}
            className={css.mark}
            style={{
              left: `${scale.at(at)}%`,
              background: LOOKS[look].color,
              // Beside the one before it, not on it.
              ...(marks.slice(0, index).some((other) => Math.abs(scale.at(other.at) - scale.at(at)) < CLOSE) ? { marginLeft: 12 } : {}),
            }}
          >
            <Icon name={LOOKS[look].icon} size={13} />
          </div>
        ))}
      </div>
      <Group gap={6} wrap="nowrap" align="flex-start" className={css.says}>
        {icon && (
          <Text span c={color} pt={2}>
            <Icon name={icon} size={14} />
          </Text>
        )}
        <Text size="sm" c={color} component="div" style={{ overflowWrap: 'anywhere' }}>
          {text}
        </Text>
      </Group>
      {children && <div className={css.below}>{children}</div>}
    </li>
  )
}

export function Axis({ scale }: { scale: Scale }) {
  return (
    <div className={css.lane} aria-hidden="true">
      <Text size="xs" c="dimmed">
        {t('proof.axis')}
      </Text>
      <div className={css.track}>
        {scale.ticks
          .filter((tick) => tick === 0 || scale.at(tick) >= CROWDED)
          .map((tick, at) => (
            <Text
              key={tick}
              size="xs"
              c="dimmed"
              className={`${css.tick} ${at % 2 === 1 && scale.ticks.length > 6 ? css.minor : ''}`}
              style={{ left: `${scale.at(tick)}%` }}
            >
              {tickText(tick)}
            </Text>
          ))}
      </div>
    </div>
  )
}

function tickText(tick: number): string {
  if (tick === 0) return '0'
  return tick >= DAY ? t('proof.days', { count: tick / DAY }) : formatDuration(tick).replace('.0', '')
}

/** What the marks mean: those that are there. */
export function Legend({ looks }: { looks: ReadonlySet<Look> }) {
  return (
    <Group gap="md" aria-hidden="true">
      {(Object.keys(LOOKS) as Look[])
        .filter((look) => looks.has(look))
        .map((look) => (
          <Group key={look} gap={4} wrap="nowrap">
            <Box className={`${css.mark} ${css.key}`} style={{ background: LOOKS[look].color }}>
              <Icon name={LOOKS[look].icon} size={13} />
            </Box>
            <Text size="xs" c="dimmed">
              {t(`proof.look.${look}`)}
            </Text>
          </Group>
        ))}
    </Group>
  )
}
