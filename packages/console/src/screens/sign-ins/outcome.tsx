import { Box } from '@mantine/core'
import { OUTCOME_TONES, type SignIn } from '../../api/sign-ins.ts'
import { Status } from '../../parts/status.tsx'
import { t, tn } from '../../texts/texts.ts'

/** The decision in a word. */
export function OutcomeMark({ signIn: { outcome, aggregatedSignInCount = 1 } }: { signIn: SignIn }) {
  return (
    // Never cut off: the word is what somebody looks for.
    <Box miw="max-content">
      <Status tone={OUTCOME_TONES[outcome]}>
        {t(`signIns.outcomes.${outcome}`)}
        {aggregatedSignInCount > 1 && ` ${tn('signIns.times', aggregatedSignInCount)}`}
      </Status>
    </Box>
  )
}

/** What the token was for: of the admin API, which has no application of its own, in words. */
export function apiOf({ resourceDisplayName }: SignIn): string {
  return resourceDisplayName === location.origin ? t('pick.adminApi') : resourceDisplayName
}
