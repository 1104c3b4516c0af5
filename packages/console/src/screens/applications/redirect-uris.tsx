import { Button, Group, Stack, TagsInput } from '@mantine/core'
import { useState } from 'react'
import { type Application, applicationPath } from '../../api/applications.ts'
import { Problem } from '../../parts/problem.tsx'
import { Section } from '../../parts/section.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

const PLATFORMS = { spa: 'spa', web: 'web', native: 'publicClient' } as const

/** Where the issuer sends people back to. */
export function RedirectUris({ application }: { application: Application }) {
  const platform = PLATFORMS[application.applicationType as keyof typeof PLATFORMS]
  const known = application[platform].redirectUris
  const write = useWrite()
  const [uris, setUris] = useState(known)
  const { busy, error, work } = useWork()
  const save = () =>
    work(async () => {
      const body = { [platform]: { redirectUris: uris } }
      await write('PATCH', applicationPath(application.appId), { body, done: t('applications.saved'), changes: ['applications'] })
    })
  return (
    <Section title={t('applications.redirectUris')} text={t('applications.redirectUrisHint')}>
      <form onSubmit={submitting(save)}>
        <Stack gap="sm">
          <TagsInput aria-label={t('applications.redirectUris')} value={uris} onChange={setUris} acceptValueOnBlur placeholder="https://" />
          {Boolean(error) && <Problem error={error} />}
          <Group>
            <Button type="submit" variant="default" loading={busy} disabled={JSON.stringify(uris) === JSON.stringify(known)}>
              {t('applications.saveRedirects')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}
