import { Anchor, Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { Link } from 'wouter'
import type { Proof, ProofReceiver } from '../../api/proofs.ts'
import { formatDuration } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { arrivedAt, lanesOf, type Lane as Row } from './receivers.ts'
import { scaleFor } from './scale.ts'
import { answerText } from './summary.ts'
import css from './timeline.module.css'
import { Axis, Lane, Legend, type Look, type Mark } from './timeline.tsx'

/** Receivers of a group that are named when somebody asks. */
const NAMED = 100

/** The picture: one axis of time, a line for each receiver and for each client. @param elapsed milliseconds, while somebody is waited for */
export function Picture({ proof, elapsed }: { proof: Proof; elapsed: number | undefined }) {
  const { lanes, more } = lanesOf(proof)
  const { answers = [] } = proof
  const rows = lanes.map((lane) => ({ lane, marks: marksOf(lane) }))
  const times = [...rows.flatMap(({ marks }) => marks), ...answers.map(({ milliseconds }) => ({ at: milliseconds }))].map(({ at }) => at)
  const scale = scaleFor([...times, ...(elapsed === undefined ? [] : [elapsed])])
  const looks = new Set<Look>(['committed', ...rows.flatMap(({ marks }) => marks.map(({ look }) => look)), ...answers.map(({ outcome }) => outcome)])
  return (
    <Paper withBorder radius="md" p="md" component="section" aria-label={t('proof.picture')}>
      <Stack gap="xs">
        <Axis scale={scale} />
        <ul className={css.lanes} aria-label={t('proof.change')}>
          <Lane scale={scale} name={t('proof.change')} tone="info" text={t('proof.committed')} marks={[{ at: 0, look: 'committed' }]} />
        </ul>
        <Title order={2} size="h5" mt="xs">
          {t('proof.receiversTitle')}
        </Title>
        {lanes.length === 0 && (
          <Text size="sm" c="dimmed">
            {t('proof.noReceivers')}
          </Text>
        )}
        <ul className={css.lanes} aria-label={t('proof.receiversTitle')}>
          {rows.map(({ lane, marks }) => (
            <Lane
              key={lane.key}
              scale={scale}
              name={lane.name}
              href={lane.href}
              detail={detailOf(lane, proof)}
              tone={lane.tone}
              text={<Words lane={lane} />}
              marks={marks}
              {...(lane.tone === 'quiet' ? {} : { bar: { from: lane.from, to: lane.to } })}
              half={lane.half}
            >
              {lane.members && <Members proof={proof} name={lane.name} members={lane.members} />}
            </Lane>
          ))}
        </ul>
        {more > 0 && (
          <Text size="sm" c="var(--mantine-color-error)">
            {tn('proof.moreTroubled', more)}{' '}
            <Anchor component={Link} href="/streams" size="sm" underline="always">
              {t('proof.toStreams')}
            </Anchor>
          </Text>
        )}
        {proof.receiversLeftOut > 0 && (
          <Text size="sm" c="dimmed">
            {tn('proof.leftOut', proof.receiversLeftOut)}
          </Text>
        )}
        {proof.answers && (
          <>
            <Title order={2} size="h5" mt="xs">
              {t('proof.clientsTitle')}
            </Title>
            {answers.length === 0 && (
              <Text size="sm" c="dimmed">
                {t('proof.noClients')}
              </Text>
            )}
            <ul className={css.lanes} aria-label={t('proof.clientsTitle')}>
              {answers.map((answer) => (
                <Lane
                  key={answer.signInId}
                  scale={scale}
                  name={answer.application.displayName || answer.application.id}
                  href={`/sign-ins/${answer.signInId}`}
                  tone={answer.outcome === 'blocked' ? 'bad' : 'good'}
                  text={answerText(proof, answer)}
                  marks={[{ at: answer.milliseconds, look: answer.outcome }]}
                />
              ))}
            </ul>
          </>
        )}
        <Group mt="xs">
          <Legend looks={looks} />
        </Group>
      </Stack>
    </Paper>
  )
}

function marksOf({ to, tone, refused }: Row): Mark[] {
  return [
    ...(to === undefined || tone === 'quiet' ? [] : [{ at: to, look: tone === 'bad' ? ('dead' as const) : ('arrived' as const) }]),
    ...(refused === undefined ? [] : [{ at: refused, look: 'refused' as const }]),
  ]
}

function detailOf({ key, members }: Row, { receivers }: Proof): string {
  const guard = members ? members[0]?.guard : receivers.find(({ streamId }) => streamId === key)?.guard
  return t(guard ? 'proof.guard' : 'proof.receiver')
}

/** In words what became of it there. */
function Words({ lane: { text, refused } }: { lane: Row }) {
  return (
    <>
      {text}
      {refused !== undefined && <div>{t('proof.refusedAfter', { after: formatDuration(refused) })}</div>}
    </>
  )
}

/** Each of a group, the slowest first, when somebody asks. */
function Members({ proof, name, members }: { proof: Proof; name: string; members: ProofReceiver[] }) {
  const [opened, { toggle }] = useDisclosure(false)
  const times = opened ? members.map((one) => ({ one, after: arrivedAt(proof, one) ?? 0 })).sort((a, b) => b.after - a.after) : []
  return (
    <>
      <Button variant="subtle" size="compact-xs" onClick={toggle} aria-expanded={opened}>
        {t(opened ? 'proof.hideMembers' : 'proof.showMembers')}
      </Button>
      {opened && (
        <ul className={css.members} aria-label={name}>
          {times.slice(0, NAMED).map(({ one, after }) => (
            <Text key={one.streamId} component="li" size="xs">
              <Anchor component={Link} href={`/streams/${one.streamId}`} size="xs">
                {one.streamId.slice(0, 8)}
              </Anchor>{' '}
              {formatDuration(after)}
            </Text>
          ))}
        </ul>
      )}
      {times.length > NAMED && (
        <Text size="xs" c="dimmed">
          {t('proof.slowest', { count: NAMED })}
        </Text>
      )}
    </>
  )
}
