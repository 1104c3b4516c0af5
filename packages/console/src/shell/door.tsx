import { Button, Center, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { type ReactNode, useState } from 'react'
import { Problem } from '../parts/problem.tsx'
import { baseOf, HOME, isTenantName, lastTenant } from '../session/tenant.ts'
import { t } from '../texts/texts.ts'
import { Logo } from './logo.tsx'

/** What stands before the console: one card in the middle. */
export function Door({ children }: { children: ReactNode }) {
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder shadow="sm" radius="lg" p="xl" w="100%" maw={420}>
        <Stack>
          <Logo />
          {children}
        </Stack>
      </Paper>
    </Center>
  )
}

/** Asks for the tenant, where the address names none. */
export function ChooseTenant() {
  const [name, setName] = useState(lastTenant() ?? '')
  const [wrong, setWrong] = useState(false)
  return (
    <Door>
      <Title order={1} size="h3">
        {t('session.tenant.title')}
      </Title>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const given = name.trim().toLowerCase()
          if (isTenantName(given)) location.assign(baseOf(given))
          else setWrong(true)
        }}
      >
        <Stack>
          <TextInput
            label={t('session.tenant.label')}
            description={t('session.tenant.hint')}
            error={wrong && t('session.tenant.wrong')}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            autoComplete="organization"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
          />
          <Button type="submit">{t('session.tenant.go')}</Button>
        </Stack>
      </form>
    </Door>
  )
}

/** Says that nobody could be signed in, and why. */
export function SignInFailed({ error, retry }: { error: string; retry(): Promise<void> }) {
  const [failed, setFailed] = useState<unknown>()
  return (
    <Door>
      <Title order={1} size="h3">
        {t('session.failed.title')}
      </Title>
      <Text role="alert">{error}</Text>
      {Boolean(failed) && <Problem error={failed} />}
      <Button onClick={() => retry().catch(setFailed)}>{t('session.failed.again')}</Button>
      <Button component="a" href={HOME} variant="default">
        {t('session.failed.other')}
      </Button>
    </Door>
  )
}
