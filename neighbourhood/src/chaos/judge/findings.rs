//! What was found on the disks.

/// What was found.
#[derive(Default)]
pub(in crate::chaos) struct Findings {
    /// Slots whose rounds have ended.
    pub(in crate::chaos) slots: u64,
    pub(in crate::chaos) opened: u64,
    /// Opened, with every meter in the sum.
    pub(in crate::chaos) whole: u64,
    /// Abandoned with a reason.
    pub(in crate::chaos) abandoned: u64,
    pub(in crate::chaos) bills: u64,
    /// Bills that nobody claimed in time.
    pub(in crate::chaos) unclaimed: u64,
    /// Receipts that said on time.
    pub(in crate::chaos) receipts: u64,
    /// Sums that are not what they have to be, or were opened twice.
    pub(in crate::chaos) wrong: Vec<String>,
    /// What has to be there and is not.
    pub(in crate::chaos) missing: Vec<String>,
    /// Meters whose energy is not accounted for, to the Wh.
    pub(in crate::chaos) uneven: Vec<String>,
    pub(in crate::chaos) measured_wh: u64,
    /// Given up.
    pub(in crate::chaos) lost_wh: u64,
    /// Damaged databases.
    pub(in crate::chaos) damaged: Vec<String>,
}

impl Findings {
    pub(in crate::chaos) fn is_good(&self) -> bool {
        self.lost_wh == 0 && self.all().next().is_none()
    }

    /// All that is not as it has to be.
    pub(in crate::chaos) fn all(&self) -> impl Iterator<Item = &String> {
        self.wrong.iter().chain(&self.missing).chain(&self.uneven).chain(&self.damaged)
    }
}
