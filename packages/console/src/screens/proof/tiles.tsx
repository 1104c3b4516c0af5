import { Anchor, Paper, Progress, SimpleGrid, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import type { Proof } from '../../api/proofs.ts'
import { formatDuration } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { answerOf, arrivalOf, whoOf } from './summary.ts'

/** The three figures of a proof: when it had arrived, when the first request was refused, when its client was back. */
export function Tiles({ proof }: { proof: Proof }) {
  const { guards, done, all, after } = arrivalOf(proof)
  const [refusal] = proof.refusals
  const answer = answerOf(proof)
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="md">
      <Tile
        label={t('proof.tile.arrived')}
        value={all === 0 ? t('proof.tile.nobody') : done === all && after !== undefined ? formatDuration(after) : t('proof.tile.of', { done, all })}
        quiet={all === 0}
      >
        {all === 0 ? t('proof.arrival.nobody') : tn(guards ? 'proof.tile.guards' : 'proof.tile.receivers', all, { done })}
        {done < all && <Progress value={(100 * done) / all} color="green" mt={6} aria-label={t('proof.tile.arrived')} />}
      </Tile>
      <Tile label={t('proof.tile.refused')} value={refusal ? formatDuration(refusal.milliseconds) : t('proof.tile.none')} quiet={!refusal}>
        {refusal ? t('proof.tile.by', { name: refusal.displayName ?? refusal.appId }) : t('proof.tile.notRefused')}
      </Tile>
      <Tile label={t('proof.tile.back')} value={answer ? formatDuration(answer.milliseconds) : t('proof.tile.none')} quiet={!answer}>
        {proof.answers === undefined && t('proof.tile.notAllowed')}
        {proof.answers !== undefined && !answer && t('proof.tile.notBack')}
        {answer && (
          <>
            {t(`proof.tile.${answer.outcome}`, { who: whoOf(proof) ?? t('proof.tile.client') })}{' '}
            <Anchor component={Link} href={`/sign-ins/${answer.signInId}`} size="sm" underline="always">
              {answer.application.displayName || answer.application.id}
            </Anchor>
          </>
        )}
      </Tile>
    </SimpleGrid>
  )
}

function Tile({ label, value, quiet, children }: { label: string; value: string; quiet: boolean; children: ReactNode }) {
  return (
    <Paper withBorder radius="md" p="md">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text fz={28} fw={700} lh={1.3} {...(quiet ? { c: 'dimmed' } : {})}>
        {value}
      </Text>
      <Text size="sm" component="div" c="dimmed">
        {children}
      </Text>
    </Paper>
  )
}
