import { Anchor, AppShell, Box, Burger, Button, Center, Group, Loader, NavLink, ScrollArea, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { Suspense, useEffect } from 'react'
import { Link, Route, Switch, useLocation } from 'wouter'
import { Empty } from '../parts/empty.tsx'
import { Icon } from '../parts/icon.tsx'
import { Page } from '../parts/page.tsx'
import { NAVIGATION, ROUTES } from '../routes.tsx'
import { useSession } from '../session/context.ts'
import { t } from '../texts/texts.ts'
import { AccountMenu } from './account-menu.tsx'
import { Boundary } from './boundary.tsx'
import { LiveMark } from './live-mark.tsx'
import { Logo } from './logo.tsx'

/** The frame around every screen: where one is, where one can go, and whether what is shown is live. */
export function Shell() {
  const [opened, { toggle, close }] = useDisclosure(false)
  const [location] = useLocation()
  const { tenant } = useSession()
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever went somewhere wants to see it
  useEffect(() => {
    close()
    window.scrollTo(0, 0)
  }, [screenOf(location)])
  return (
    <AppShell header={{ height: 56 }} navbar={{ width: 232, breakpoint: 'md', collapsed: { mobile: !opened } }} padding={{ base: 'sm', sm: 'lg' }}>
      <Anchor href="#content" className="skip">
        {t('shell.skip')}
      </Anchor>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap" style={{ minWidth: 0 }}>
            <Burger opened={opened} onClick={toggle} hiddenFrom="md" size="sm" aria-label={t('shell.menu')} aria-expanded={opened} />
            <Anchor component={Link} href="/" underline="never" c="inherit">
              <Logo />
            </Anchor>
            <Text c="dimmed" size="sm" truncate visibleFrom="xs">
              {tenant}
            </Text>
          </Group>
          <Group gap="sm" wrap="nowrap">
            <LiveMark />
            <AccountMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label={t('shell.navigation')}>
        <AppShell.Section grow component={ScrollArea}>
          {NAVIGATION.map(({ label, entries }, at) => (
            <Box key={label ?? at} mb="xs">
              {label && (
                <Text size="xs" c="dimmed" fw={700} px="sm" py={4}>
                  {t(label)}
                </Text>
              )}
              {entries.map(({ path, label: name, icon }) => (
                <NavLink
                  key={path}
                  component={Link}
                  href={path}
                  label={t(name)}
                  leftSection={<Icon name={icon} />}
                  active={isHere(location, path)}
                  aria-current={isHere(location, path) ? 'page' : undefined}
                  style={{ borderRadius: 'var(--mantine-radius-md)' }}
                />
              ))}
            </Box>
          ))}
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} style={{ outline: 'none' }}>
        <Box maw={1240} mx="auto">
          <Boundary key={screenOf(location)}>
            <Suspense fallback={<Waiting />}>
              <Switch>
                {ROUTES.map(([path, Screen]) => (
                  <Route key={path} path={path} component={Screen} />
                ))}
                <Route>
                  <Nowhere />
                </Route>
              </Switch>
            </Suspense>
          </Boundary>
        </Box>
      </AppShell.Main>
    </AppShell>
  )
}

/** Of `/users/{id}/sessions`, `/users/{id}`: whoever goes from tab to tab stays on the same screen, and keeps the focus. */
function screenOf(location: string): string {
  return location.split('/').slice(0, 3).join('/')
}

/** A screen's own pages count as the screen. */
function isHere(location: string, path: string): boolean {
  return path === '/' ? location === '/' : location === path || location.startsWith(`${path}/`)
}

function Waiting() {
  return (
    <Center py="xl" role="status" aria-label={t('shell.loading')}>
      <Loader />
    </Center>
  )
}

function Nowhere() {
  return (
    <Page title={t('shell.notFound.title')}>
      <Empty icon="question" title={t('shell.notFound.title')} text={t('shell.notFound.text')}>
        <Button component={Link} href="/">
          {t('shell.notFound.home')}
        </Button>
      </Empty>
    </Page>
  )
}
